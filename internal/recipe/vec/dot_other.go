//go:build !amd64

package vec

func dotBytes(x, y []int8) int32 { return dotBytesGeneric(x, y) }
