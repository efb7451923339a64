package blob

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	s3Host     = regexp.MustCompile(`^(?:(.+)\.)?s3[.-](?:[a-z0-9-]+\.)*[a-z0-9-]+$`) // s3.amazonaws.com, s3.eu-west-1.amazonaws.com, bucket.s3-eu-west-1.amazonaws.com
)

// ParseLocation reads the address of an object or a folder: s3://bucket/key, or an http or https URL of S3 in path style (http://host/bucket/key)
// or virtual-hosted style (https://bucket.s3.region.amazonaws.com/key). Only the bucket and the key are taken from a URL; which server is asked
// is the operator's choice, never the caller's. The key of an s3 address stands for itself, the path of a URL is percent-decoded. The key may be empty.
func ParseLocation(s string) (bucket, key string, err error) {
	scheme, rest, _ := strings.Cut(s, "://")
	switch scheme {
	case "s3":
		bucket, key, _ = strings.Cut(rest, "/")
	case "http", "https":
		bucket, key, err = parseURL(s)
	default:
		err = errors.New("it must begin with s3://")
	}
	if err == nil {
		err = checkLocation(bucket, key)
	}
	if err != nil {
		return "", "", fmt.Errorf("location %q: %w", s, err)
	}
	return bucket, key, nil
}

func parseURL(s string) (bucket, key string, err error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", "", errors.Unwrap(err)
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil {
		return "", "", errors.New("it must have no query, fragment or credentials")
	}
	path := strings.TrimPrefix(u.Path, "/")
	host := strings.ToLower(u.Hostname())
	if m := s3Host.FindStringSubmatch(host); m != nil && m[1] != "" && net.ParseIP(host) == nil {
		return m[1], path, nil
	}
	bucket, key, _ = strings.Cut(path, "/")
	return bucket, key, nil
}

func checkLocation(bucket, key string) error {
	switch {
	case bucket == "":
		return errors.New("it names no bucket")
	case !bucketName.MatchString(bucket) || strings.Contains(bucket, "..") || net.ParseIP(bucket) != nil:
		return errors.New("its bucket name is not valid")
	case len(key) > 1024:
		return errors.New("its key is longer than 1024 bytes")
	case !utf8.ValidString(key):
		return errors.New("its key is not UTF-8")
	}
	return nil
}
