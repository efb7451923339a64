package control

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/meta"
)

// defaultPage is the number of results of a List without maxResults; the shape check admits 1 to defaultPage.
const defaultPage = 100

func pageSize(maxResults *int) int {
	if maxResults == nil || *maxResults == 0 {
		return defaultPage
	}
	return *maxResults
}

// pages is what the pages of one list have in common. A token is a position in the list, authenticated together with these: one that
// was made for another list, filter or caller is refused like one that was made up.
type pages struct {
	kind   string // what is listed
	filter string // ARN or other restriction
	scope  string // the caller's
}

const macLength = 16

// token names the position of the page's last element.
func (p pages) token(key []byte, position int64) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(position))
	return base64.RawURLEncoding.EncodeToString(append(b, p.mac(key, b)...))
}

// position reads a token; of "", the start of the list, it is 0.
func (p pages) position(key []byte, token string) (int64, error) {
	if token == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != 8+macLength || !hmac.Equal(b[8:], p.mac(key, b[:8])) {
		return 0, api.Errorf(api.InvalidNextToken, "The value of nextToken is not valid for this list.")
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

func (p pages) mac(key, position []byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range []string{p.kind, p.filter, p.scope} {
		fmt.Fprintf(h, "%d:%s,", len(part), part)
	}
	h.Write(position)
	return h.Sum(nil)[:macLength]
}

// pageOf returns one page of a list that is in memory in its final order: the built-in catalogue, the metrics of an attribution.
func pageOf[T any](ctx context.Context, s *Service, kind, filter string, all []T, nextToken string, maxResults *int) (page []T, next string, err error) {
	p := pages{kind: kind, filter: filter, scope: scopeOf(ctx).id()}
	err = s.meta.View(ctx, func(tx *meta.Tx) error {
		key, err := tx.PageKey()
		if err != nil {
			return err
		}
		start, err := p.position(key, nextToken)
		if err != nil {
			return err
		}
		page = all[min(int(start), len(all)):]
		if size := pageSize(maxResults); len(page) > size {
			page = page[:size]
			next = p.token(key, start+int64(size))
		}
		return nil
	})
	return page, next, err
}
