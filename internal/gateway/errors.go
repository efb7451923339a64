package gateway

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// s3Error is an answer in S3's form that the Handler gives itself.
type s3Error struct {
	status  int
	code    string
	message string
}

func (e *s3Error) Error() string { return e.code + ": " + e.message }

var errNoSuchBucket = &s3Error{http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist"}

// checkKey refuses keys that a directory tree cannot hold as they are. versitygw would store them under another name, or another object's.
func checkKey(key string) error {
	if key == "" {
		return nil
	}
	if strings.IndexByte(key, 0) >= 0 {
		return refuseKey("holds a zero byte")
	}
	if key == ".sgwtmp" || strings.HasPrefix(key, ".sgwtmp/") {
		return refuseKey("begins with .sgwtmp, where unfinished uploads are kept")
	}
	if len(key) > 1024 {
		return &s3Error{http.StatusBadRequest, "KeyTooLongError", "Your key is too long"}
	}
	for segment := range strings.SplitSeq(strings.TrimSuffix(key, "/"), "/") {
		switch {
		case segment == "" || segment == "." || segment == "..":
			return refuseKey(fmt.Sprintf("has the path segment %q", segment))
		case len(segment) > 255:
			return refuseKey("has a path segment of more than 255 bytes")
		}
	}
	return nil
}

func refuseKey(why string) error {
	return &s3Error{http.StatusBadRequest, "InvalidArgument", "This server keeps objects as files and cannot hold a key that " + why + "."}
}

// writeError answers with an S3 error document.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	var e *s3Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, errChunks):
		e = &s3Error{http.StatusBadRequest, "IncompleteBody", err.Error()}
	default:
		e = &s3Error{http.StatusInternalServerError, "InternalError", "We encountered an internal error. Please try again."}
	}
	body, _ := xml.Marshal(struct {
		XMLName  xml.Name `xml:"Error"`
		Code     string
		Message  string
		Resource string
	}{Code: e.code, Message: e.message, Resource: r.URL.Path})
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Connection", "close") // the rest of the body, if any, is of no use
	w.WriteHeader(e.status)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, "%s%s", xml.Header, body)
	}
}
