//lint:file-ignore SA1019 version 1 of the SDK is what customers still run, and the only Go client of all three services: it is tested because it is old.

package s3_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	awsv1 "github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	credentialsv1 "github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	s3v1 "github.com/aws/aws-sdk-go/service/s3"
	"github.com/aws/aws-sdk-go/service/s3/s3manager"
)

func TestGoSDKv1(t *testing.T) {
	s, err := session.NewSession(&awsv1.Config{
		Endpoint: &endpoint, Region: awsv1.String("us-west-2"), S3ForcePathStyle: awsv1.Bool(true),
		Credentials: credentialsv1.NewStaticCredentials("any", "thing", ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := s3v1.New(s)
	bucket, key := awsv1.String("go-sdk-v1"), awsv1.String("dir/big + ü.bin")
	if _, err := c.CreateBucket(&s3v1.CreateBucketInput{Bucket: bucket}); err != nil {
		t.Fatal(err)
	}
	data := noise(17 << 20)
	if _, err := s3manager.NewUploader(s).Upload(&s3manager.UploadInput{Bucket: bucket, Key: key, Body: io.MultiReader(bytes.NewReader(data))}); err != nil {
		t.Fatal(err)
	}
	back := awsv1.NewWriteAtBuffer(nil)
	if _, err := s3manager.NewDownloader(s).Download(back, &s3v1.GetObjectInput{Bucket: bucket, Key: key}); err != nil || !bytes.Equal(back.Bytes(), data) {
		t.Errorf("download: %d bytes, %v", len(back.Bytes()), err)
	}
	if _, err := c.PutObject(&s3v1.PutObjectInput{Bucket: bucket, Key: awsv1.String("small"), Body: strings.NewReader("x")}); err != nil {
		t.Error(err)
	}
	out, err := c.ListObjectsV2(&s3v1.ListObjectsV2Input{Bucket: bucket})
	if err != nil || len(out.Contents) != 2 || *out.Contents[0].Key != *key {
		t.Errorf("list: %v, %v", out, err)
	}
	_, err = c.GetObject(&s3v1.GetObjectInput{Bucket: bucket, Key: awsv1.String("missing")})
	if e, ok := err.(awserr.Error); !ok || e.Code() != s3v1.ErrCodeNoSuchKey {
		t.Errorf("missing key: %v", err)
	}
	for _, k := range []*string{key, awsv1.String("small")} {
		if _, err := c.DeleteObject(&s3v1.DeleteObjectInput{Bucket: bucket, Key: k}); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.DeleteBucket(&s3v1.DeleteBucketInput{Bucket: bucket}); err != nil {
		t.Error(err)
	}
}

// run runs a program with the server as its AWS and returns what it prints.
func run(t *testing.T, input []byte, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = t.TempDir()
	cmd.Stdin = bytes.NewReader(input)
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+endpoint, "AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=thing", "AWS_REGION=eu-central-1",
		"AWS_DEFAULT_REGION=eu-central-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/nowhere", "AWS_SHARED_CREDENTIALS_FILE=/nowhere", "AWS_PAGER=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func need(t *testing.T, name string, probe ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts other programs: not in -short")
	}
	if err := exec.CommandContext(t.Context(), name, probe...).Run(); err != nil {
		t.Skipf("%s %s does not work here: %v", name, strings.Join(probe, " "), err)
	}
}

func TestAWSCLI(t *testing.T) {
	need(t, "aws", "--version")
	dir := t.TempDir()
	big := noise(18 << 20)
	if err := os.WriteFile(filepath.Join(dir, "big.bin"), big, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "small file + ü.csv"), []byte("a,b\n1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, nil, "aws", "s3", "mb", "s3://cli-bucket")
	run(t, nil, "aws", "s3", "cp", dir, "s3://cli-bucket/in/", "--recursive")
	run(t, []byte("from a pipe"), "aws", "s3", "cp", "-", "s3://cli-bucket/in/piped.txt")
	listed := run(t, nil, "aws", "s3", "ls", "s3://cli-bucket/in/")
	for _, name := range []string{"big.bin", "small file + ü.csv", "piped.txt"} {
		if !strings.Contains(listed, name) {
			t.Errorf("aws s3 ls does not show %q:\n%s", name, listed)
		}
	}
	back := filepath.Join(dir, "back")
	run(t, nil, "aws", "s3", "sync", "s3://cli-bucket/in/", back)
	if got, err := os.ReadFile(filepath.Join(back, "big.bin")); err != nil || !bytes.Equal(got, big) {
		t.Errorf("big.bin came back with %d bytes, %v", len(got), err)
	}
	run(t, nil, "aws", "s3", "mv", "s3://cli-bucket/in/big.bin", "s3://cli-bucket/moved.bin")
	ranged := filepath.Join(dir, "ranged")
	run(t, nil, "aws", "s3api", "get-object", "--bucket", "cli-bucket", "--key", "moved.bin", "--range", "bytes=100-199", ranged)
	if got, err := os.ReadFile(ranged); err != nil || !bytes.Equal(got, big[100:200]) {
		t.Errorf("the range came back with %d bytes, %v", len(got), err)
	}
	run(t, nil, "aws", "s3", "rm", "s3://cli-bucket", "--recursive")
	run(t, nil, "aws", "s3", "rb", "s3://cli-bucket")
}

func TestBoto3(t *testing.T) {
	need(t, "python3", "-c", "import boto3")
	run(t, nil, "python3", "-c", botoScript)
}

const botoScript = `
import boto3, io, hashlib, urllib.request
from botocore.config import Config
from botocore.exceptions import ClientError

s3 = boto3.client("s3")
s3.create_bucket(Bucket="boto", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
keys = ["a/b c.csv", "a/plus+.csv", "a/ü/日本.csv", "a/100%.csv", "empty", "mark/", "q'\"&<>.csv"]
for k in keys:
    s3.put_object(Bucket="boto", Key=k, Body=b"" if k in ("empty", "mark/") else k.encode())
for k in keys:
    got = s3.get_object(Bucket="boto", Key=k)["Body"].read()
    assert got == (b"" if k in ("empty", "mark/") else k.encode()), (k, got)
listed = [o["Key"] for p in s3.get_paginator("list_objects_v2").paginate(Bucket="boto", PaginationConfig={"PageSize": 2}) for o in p["Contents"]]
assert listed == sorted(keys, key=lambda k: k.encode()), listed
assert [p["Prefix"] for p in s3.list_objects(Bucket="boto", Delimiter="/")["CommonPrefixes"]] == ["a/", "mark/"]

# a managed multipart upload, an unseekable stream, and every checksum
big = bytes(range(256)) * (70 << 10)
s3.upload_fileobj(io.BytesIO(big), "boto", "big")
back = io.BytesIO()
s3.download_fileobj("boto", "big", back)
assert hashlib.sha256(back.getvalue()).digest() == hashlib.sha256(big).digest()
assert s3.get_object(Bucket="boto", Key="big", Range="bytes=256-300")["Body"].read() == big[256:301]

class Pipe:
    def __init__(self, data): self.f = io.BytesIO(data)
    def read(self, n=-1): return self.f.read(n)
s3.upload_fileobj(Pipe(big[:100000]), "boto", "piped")
assert s3.get_object(Bucket="boto", Key="piped")["Body"].read() == big[:100000]

for algorithm in ["CRC32", "SHA1", "SHA256"]:
    s3.put_object(Bucket="boto", Key="sum", Body=io.BytesIO(big[:200000]), ChecksumAlgorithm=algorithm)
    head = s3.head_object(Bucket="boto", Key="sum", ChecksumMode="ENABLED")
    assert head.get("Checksum" + algorithm), (algorithm, head)
try:
    once = boto3.client("s3", config=Config(retries={"total_max_attempts": 1}))
    once.put_object(Bucket="boto", Key="sum", Body=b"data", ChecksumCRC32="AAAAAA==")
    raise SystemExit("a wrong checksum was accepted")
except ClientError as e:
    assert e.response["Error"]["Code"] in ("BadDigest", "InvalidRequest"), e

s3.copy_object(Bucket="boto", Key="copy ü", CopySource={"Bucket": "boto", "Key": "a/ü/日本.csv"})
assert s3.get_object(Bucket="boto", Key="copy ü")["Body"].read() == "a/ü/日本.csv".encode()

for version in ("s3v4", "s3"):
    signed = boto3.client("s3", config=Config(signature_version=version))
    url = signed.generate_presigned_url("get_object", Params={"Bucket": "boto", "Key": "a/b c.csv"})
    assert urllib.request.urlopen(url).read() == b"a/b c.csv", version
put = boto3.client("s3", config=Config(signature_version="s3v4")).generate_presigned_url("put_object", Params={"Bucket": "boto", "Key": "by link"})
urllib.request.urlopen(urllib.request.Request(put, data=b"linked", method="PUT", headers={"Content-Type": ""})).read()
assert s3.get_object(Bucket="boto", Key="by link")["Body"].read() == b"linked"

for call, want in [(lambda: s3.get_object(Bucket="boto", Key="none"), "NoSuchKey"), (lambda: s3.list_objects_v2(Bucket="no-such-bucket"), "NoSuchBucket"),
                   (lambda: s3.head_object(Bucket="boto", Key="none"), "404")]:
    try:
        call()
        raise SystemExit("no error, want " + want)
    except ClientError as e:
        assert e.response["Error"]["Code"] == want, e

bucket = boto3.resource("s3").Bucket("boto")
bucket.objects.all().delete()
bucket.delete()
`
