//go:build !unix

package vec

// Allocate returns n zeros.
func Allocate[T float32 | int32](n int) (values []T, release func()) { return make([]T, n), func() {} }
