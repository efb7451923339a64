//go:build !unix

package vec

// allocate returns n zeros.
func allocate(n int) (values []float32, release func()) { return make([]float32, n), func() {} }
