package gateway

import (
	"io"
	"os"
	"path/filepath"
)

// Decode takes an aws-chunked body apart.
func Decode(body io.Reader, length int64) (object []byte, trailers map[string][]string, err error) {
	d := newChunkDecoder(body, length)
	object, err = io.ReadAll(d)
	return object, d.trailers, err
}

// Reencode returns a body in unsigned chunks, and how long it was said to be.
func Reencode(body io.Reader, length int64, trailer string) (encoded []byte, announced int64, err error) {
	encoded, err = io.ReadAll(newChunkEncoder(newChunkDecoder(body, length), trailer))
	return encoded, encodedLength(length, trailer), err
}

// UseFiles makes a new directory keep its metadata in files even where extended attributes work.
func UseFiles(dir string) error {
	if err := os.MkdirAll(dir+".meta", 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir+".meta", formatFile), []byte(inFiles), 0o600)
}

// CheckKey is the rule for object keys.
var CheckKey = checkKey
