package api

import "context"

// Caller says for whom and where a request runs. Partition, region and account are the ones that the ARNs of the answer carry.
type Caller struct {
	Partition string // "aws"
	Region    string // from the credential scope of the signature
	Account   string // twelve digits, from the configuration
	RequestID string // a UUID, also in the header of the answer

	found *string // see Found
}

// Found notes the resource that the request turned out to be about, once it is known to exist: metrics may name it from then on.
func (c Caller) Found(arn string) {
	if c.found != nil {
		*c.found = arn
	}
}

// Finding returns the caller whose Found sets arn.
func (c Caller) Finding(arn *string) Caller {
	c.found = arn
	return c
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
