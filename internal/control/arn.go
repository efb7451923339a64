package control

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/palate-dev/palate/internal/api"
)

// scope is where a caller's resources live. ARNs of another scope name nothing for him.
type scope struct {
	partition, region, account string
}

func scopeOf(ctx context.Context) scope {
	c := api.CallerFrom(ctx)
	return scope{c.Partition, c.Region, c.Account}
}

// id is the scope as the database keeps it.
func (sc scope) id() string { return sc.region + ":" + sc.account }

// arn returns the ARN of a resource. kind is the ARN's word (meta.Filter, ...; meta.Solution for a version), path what follows it: a name, or
// names separated by slashes.
func (sc scope) arn(kind, path string) string {
	return fmt.Sprintf("arn:%s:personalize:%s:%s:%s/%s", sc.partition, sc.region, sc.account, kind, path)
}

// arnPath returns what follows the kind in an ARN: of a dataset group its name.
func arnPath(arn string) string {
	_, path, _ := strings.Cut(arn, "/")
	return path
}

// arnKind returns the kind of resource that an ARN names, in the ARN's own word.
func arnKind(arn string) string {
	head, _, _ := strings.Cut(arn, "/")
	return head[strings.LastIndex(head, ":")+1:]
}

// newDirectory returns a random name for a directory or table: customers' names never become part of a path.
func newDirectory() string { return randomHex(16) }

// newSuffix returns the random end of an event tracker's or solution version's ARN.
func newSuffix() string { return randomHex(4) }

// newUUID returns a random UUID, lower case: a tracking ID.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
