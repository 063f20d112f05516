/** The part of a response that a caller may look at. */
export interface S3Response {
  readonly ETag?: string | undefined;
}

/** An object of a listing. */
export interface S3ListedObject {
  readonly Key?: string | undefined;
  readonly Size?: number | undefined;
}

/** A version or a delete marker of a listing. */
export interface S3ListedVersion {
  readonly Key?: string | undefined;
  readonly VersionId?: string | undefined;
  readonly IsLatest?: boolean | undefined;
  readonly Size?: number | undefined;
}

export interface S3CallOptions {
  readonly abortSignal?: AbortSignal;
}

/**
 * The calls of the class `S3` of `@aws-sdk/client-s3` (3.x) that the adapter makes, copied as a
 * type so that the package is not imported. The smaller `S3Client` of that package does not have
 * these methods.
 */
export interface S3Calls {
  putObject(
    input: {
      Bucket: string;
      Key: string;
      Body: Uint8Array;
      ContentType?: string;
      IfNoneMatch?: string;
      IfMatch?: string;
    },
    options?: S3CallOptions,
  ): Promise<S3Response>;
  getObject(
    input: { Bucket: string; Key: string },
    options?: S3CallOptions,
  ): Promise<
    S3Response & {
      readonly Body?: { transformToByteArray(): Promise<Uint8Array> } | undefined;
      readonly ContentLength?: number | undefined;
    }
  >;
  headObject(input: { Bucket: string; Key: string }, options?: S3CallOptions): Promise<unknown>;
  deleteObject(
    input: { Bucket: string; Key: string; VersionId?: string },
    options?: S3CallOptions,
  ): Promise<unknown>;
  listObjectsV2(
    input: {
      Bucket: string;
      Prefix: string;
      StartAfter?: string;
      MaxKeys?: number;
      Delimiter?: string;
      ContinuationToken?: string;
    },
    options?: S3CallOptions,
  ): Promise<{
    readonly Contents?: readonly S3ListedObject[] | undefined;
    readonly CommonPrefixes?: readonly { readonly Prefix?: string | undefined }[] | undefined;
    readonly IsTruncated?: boolean | undefined;
    readonly NextContinuationToken?: string | undefined;
  }>;
  listObjectVersions(
    input: { Bucket: string; Prefix: string; KeyMarker?: string; VersionIdMarker?: string },
    options?: S3CallOptions,
  ): Promise<{
    readonly Versions?: readonly S3ListedVersion[] | undefined;
    readonly DeleteMarkers?: readonly S3ListedVersion[] | undefined;
    readonly IsTruncated?: boolean | undefined;
    readonly NextKeyMarker?: string | undefined;
    readonly NextVersionIdMarker?: string | undefined;
  }>;
  getBucketVersioning(
    input: { Bucket: string },
    options?: S3CallOptions,
  ): Promise<{ readonly Status?: string | undefined }>;
  getObjectLockConfiguration(
    input: { Bucket: string },
    options?: S3CallOptions,
  ): Promise<{
    readonly ObjectLockConfiguration?:
      { readonly ObjectLockEnabled?: string | undefined } | undefined;
  }>;
}
