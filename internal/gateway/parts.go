package gateway

import "sync"

// parts are the parts of multipart uploads that are being received, by upload.
type parts struct {
	mu       sync.Mutex
	arriving map[string]*arrival
}

type arrival struct {
	users   int           // parts and ends of the upload that are under way
	endings int           // of these the ends
	settled chan struct{} // closed when no end is under way any more; nil while none is
	over    bool          // the upload was completed or aborted meanwhile
}

func (p *parts) join(upload string) *arrival {
	a := p.arriving[upload]
	if a == nil {
		if p.arriving == nil {
			p.arriving = make(map[string]*arrival)
		}
		a = new(arrival)
		p.arriving[upload] = a
	}
	a.users++
	return a
}

func (p *parts) leave(upload string, a *arrival) {
	if a.users--; a.users == 0 {
		delete(p.arriving, upload)
	}
}

// begin notes a part of an upload.
func (p *parts) begin(upload string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.join(upload)
}

// end notes that a part has been received, or has failed, and tells whether its upload was over by then. While the upload is being ended it waits for the outcome:
// the part may have come to stand where everything else is already gone.
func (p *parts) end(upload string) (late bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.arriving[upload]
	for a.endings > 0 {
		settled := a.settled
		p.mu.Unlock()
		<-settled
		p.mu.Lock()
	}
	p.leave(upload, a)
	return a.over
}

// ending completes or aborts an upload by calling finish.
func (p *parts) ending(upload string, finish func() error) error {
	p.mu.Lock()
	a := p.join(upload)
	if a.endings++; a.endings == 1 {
		a.settled = make(chan struct{})
	}
	p.mu.Unlock()
	err := finish()
	p.mu.Lock()
	defer p.mu.Unlock()
	a.over = a.over || err == nil
	if a.endings--; a.endings == 0 {
		close(a.settled)
	}
	p.leave(upload, a)
	return err
}
