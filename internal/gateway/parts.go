package gateway

import "sync"

// parts are the parts of multipart uploads that are being received, by upload.
type parts struct {
	mu       sync.Mutex
	arriving map[string]*arrival
}

type arrival struct {
	parts int
	over  bool // the upload was completed or aborted meanwhile
}

// begin notes a part of an upload.
func (p *parts) begin(upload string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.arriving[upload]
	if a == nil {
		if p.arriving == nil {
			p.arriving = make(map[string]*arrival)
		}
		a = new(arrival)
		p.arriving[upload] = a
	}
	a.parts++
}

// end notes that a part has been received, or has failed, and tells whether its upload was over by then.
func (p *parts) end(upload string) (late bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.arriving[upload]
	if a.parts--; a.parts == 0 {
		delete(p.arriving, upload)
	}
	return a.over
}

// over notes that an upload has been completed or aborted.
func (p *parts) over(upload string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.arriving[upload]; a != nil {
		a.over = true
	}
}
