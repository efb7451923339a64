//go:build !unix

package recipe

import "os"

// mapFile reads a file whole, for systems without mmap.
func mapFile(path string) (data []byte, unmap func() error, err error) {
	data, err = os.ReadFile(path)
	return data, func() error { return nil }, err
}
