//go:build !amd64

package vec

func bodies() []body { return []body{generic} }
