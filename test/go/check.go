// Reads and makes logs by golang.org/x/mod/sumdb, which knows nothing of this library.
//
//	check <folder> <vkey> <notes...>: opens the checkpoint of a published folder, and further ones,
//	  proves every header to be under it, and any two checkpoints to be of one history
//	make <folder> <records>: writes a log of records, and prints its vkey
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"crypto/rand"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// pathOf turns the path of Go's checksum database into that of tlog-tiles: "tile/8/0/001" has the
// height of tiles, which is always 8 here, before the level.
func pathOf(t tlog.Tile) string {
	return strings.Replace(t.Path(), "tile/8/", "tile/", 1)
}

type folder string

func (f folder) Height() int { return height }

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, t := range tiles {
		bytes, err := os.ReadFile(filepath.Join(string(f), pathOf(t)))
		if err != nil {
			return nil, err
		}
		data[i] = bytes
	}
	return data, nil
}

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func open(file string, verifier note.Verifier) tlog.Tree {
	bytes, err := os.ReadFile(file)
	must(err)
	n, err := note.Open(bytes, note.VerifierList(verifier))
	must(err)
	lines := strings.Split(n.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root, err := base64.StdEncoding.DecodeString(lines[2])
	must(err)
	tree := tlog.Tree{N: size}
	if copy(tree.Hash[:], root) != tlog.HashSize {
		must(fmt.Errorf("the root has %d bytes", len(root)))
	}
	return tree
}

// headers reads the headers of a tile of level 0.
func headers(dir string, index, size int64) [][]byte {
	width := size - index*256
	if width > 256 {
		width = 256
	}
	tile := tlog.Tile{H: height, L: 0, N: index, W: int(width)}
	path := strings.Replace(pathOf(tile), "tile/0/", "tile/entries/", 1)
	bytes, err := os.ReadFile(filepath.Join(dir, path))
	must(err)
	var found [][]byte
	for len(bytes) > 0 {
		length := int(binary.BigEndian.Uint16(bytes))
		found = append(found, bytes[2:2+length])
		bytes = bytes[2+length:]
	}
	if int64(len(found)) != width {
		must(fmt.Errorf("a bundle has %d headers, not %d", len(found), width))
	}
	return found
}

func check(dir, vkey string, notes []string) {
	verifier, err := note.NewVerifier(vkey)
	must(err)
	tree := open(filepath.Join(dir, "checkpoint"), verifier)
	hashes := tlog.TileHashReader(tree, folder(dir))
	for index := int64(0); index*256 < tree.N; index++ {
		for i, header := range headers(dir, index, tree.N) {
			at := index*256 + int64(i)
			proof, err := tlog.ProveRecord(tree.N, at, hashes)
			must(err)
			must(tlog.CheckRecord(proof, tree.N, tree.Hash, at, tlog.RecordHash(header)))
		}
	}
	trees := []tlog.Tree{tree}
	for _, file := range notes {
		trees = append(trees, open(file, verifier))
	}
	pairs := 0
	for _, newer := range trees {
		for _, older := range trees {
			if older.N < 1 || older.N > newer.N {
				continue
			}
			proof, err := tlog.ProveTree(newer.N, older.N, hashes)
			must(err)
			must(tlog.CheckTree(proof, newer.N, newer.Hash, older.N, older.Hash))
			pairs++
		}
	}
	fmt.Printf("%d headers, %d pairs\n", tree.N, pairs)
}

func makeLog(dir string, count int64) {
	skey, vkey, err := note.GenerateKey(rand.Reader, "go.example/log")
	must(err)
	signer, err := note.NewSigner(skey)
	must(err)
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			found[i] = stored[index]
		}
		return found, nil
	})
	for i := int64(0); i < count; i++ {
		more, err := tlog.StoredHashes(i, []byte(fmt.Sprintf("record %d", i)), reader)
		must(err)
		stored = append(stored, more...)
	}
	for _, tile := range tlog.NewTiles(height, 0, count) {
		data, err := tlog.ReadTileData(tile, reader)
		must(err)
		file := filepath.Join(dir, pathOf(tile))
		must(os.MkdirAll(filepath.Dir(file), 0o755))
		must(os.WriteFile(file, data, 0o644))
	}
	root, err := tlog.TreeHash(count, reader)
	must(err)
	text := fmt.Sprintf("go.example/log\n%d\n%s\n", count, base64.StdEncoding.EncodeToString(root[:]))
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	must(err)
	must(os.WriteFile(filepath.Join(dir, "checkpoint"), signed, 0o644))
	fmt.Println(vkey)
}

func main() {
	switch os.Args[1] {
	case "check":
		check(os.Args[2], os.Args[3], os.Args[4:])
	case "make":
		count, err := strconv.ParseInt(os.Args[3], 10, 64)
		must(err)
		makeLog(os.Args[2], count)
	}
}
