package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Mem keeps objects in memory, for tests. Its zero value is an empty store.
type Mem struct {
	mu      sync.Mutex
	objects map[string]memObject
}

type memObject struct {
	info Info
	data []byte // never changed once stored
}

var _ Store = (*Mem)(nil)

func (m *Mem) List(ctx context.Context, prefix string) ([]Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []Info
	for key, o := range m.objects {
		if strings.HasPrefix(key, prefix) {
			found = append(found, o.info)
		}
	}
	slices.SortFunc(found, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
	return found, nil
}

func (m *Mem) Open(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	if !ok {
		return nil, Info{}, fmt.Errorf("open %s: %w", key, ErrNotFound)
	}
	return io.NopCloser(contextReader{ctx, bytes.NewReader(o.data)}), o.info, nil
}

func (m *Mem) Create(ctx context.Context, key string, r io.Reader, _ PutOptions) error {
	data, err := io.ReadAll(contextReader{ctx, r})
	if err != nil {
		return fmt.Errorf("create %s: %w", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.objects == nil {
		m.objects = make(map[string]memObject)
	}
	etag := fmt.Sprintf("%x", sha256.Sum256(data))
	m.objects[key] = memObject{Info{Key: key, Size: int64(len(data)), ETag: etag, Modified: time.Now()}, data}
	return nil
}

// Abandon does nothing: nothing is left.
func (m *Mem) Abandon(context.Context, string) error { return nil }

func (m *Mem) Destroy(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}
