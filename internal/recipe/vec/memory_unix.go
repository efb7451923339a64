//go:build unix

package vec

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Allocate returns n zeros outside of the heap: what is large and short-lived neither waits for a collection to go nor lets the heap grow to twice its size, and
// lies on large pages where the system has them. release gives the memory back at once.
func Allocate[T float32 | int32](n int) (values []T, release func()) {
	if n == 0 {
		return nil, func() {}
	}
	data, err := unix.Mmap(-1, 0, n*4, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("map %d bytes of memory: %v", n*4, err)) // as make does
	}
	hugePages(data)
	return unsafe.Slice((*T)(unsafe.Pointer(&data[0])), n), func() { _ = unix.Munmap(data) }
}
