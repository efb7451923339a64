package api

import "context"

// Caller says for whom and where a request runs. Partition, region and account are the ones that the ARNs of the answer carry.
type Caller struct {
	Partition string // "aws"
	Region    string // from the credential scope of the signature
	Account   string // twelve digits, from the configuration
	RequestID string // a UUID, also in the header of the answer
}

type callerKey struct{}

// WithCaller returns a context that carries c.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns the caller of ctx, or a zero Caller if there is none.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
