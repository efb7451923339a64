package erasure

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/shop"
)

func TestBadListsFailBeforeAnyWrite(t *testing.T) {
	t.Parallel()
	d := shop.Generate(30, 20, 300, 83)
	h := shop.Open(t, start(t))
	h.Load(h.Interactions, d.Interactions)
	before := files(t, h.Data+"/store")
	for name, text := range map[string]string{
		"header": "USER\n" + d.Users[0] + "\n", "no-header": d.Users[0] + "\n" + d.Users[1] + "\n", "two-columns": "USER_ID,ITEM_ID\n" + d.Users[0] + ",i\n",
		"empty": "", "no-user": "USER_ID\n", "ragged": "USER_ID\n" + d.Users[0] + "," + d.Users[1] + "\n", "binary": "USER_ID\n\xff\xfe" + d.Users[0] + "\n",
		"long": "USER_ID\n" + strings.Repeat(d.Users[0], 50) + "\n",
	} {
		h.Upload(h.Objects, "bad/"+name+".csv", text)
		checkFails(h, name, "s3://shop/bad/"+name+".csv")
	}
	checkFails(h, "missing", "s3://shop/nowhere/list.csv")
	checkFails(h, "bucket", "s3://nowhere/list.csv")
	if diff := cmp.Diff(before, files(t, h.Data+"/store")); diff != "" {
		t.Errorf("a list that cannot be used changed the store:\n%s", diff)
	}
	// Unknown ids and duplicates are fine, and nothing is trimmed or folded.
	odd := []string{d.Users[0], d.Users[0], "canary-unknown", strings.ToUpper(d.Users[1]), d.Users[2] + " "}
	if n, want := h.Forget(odd...), rowsOf(d.Interactions, d.Users[0]); n != want {
		t.Errorf("%d rows deleted, want %d", n, want)
	}
}

func checkFails(h *shop.Shop, name, location string) {
	h.T.Helper()
	arn := h.Must("CreateDataDeletionJob", M{"jobName": "bad-" + name, "datasetGroupArn": h.Group, "roleArn": shop.Role, "dataSource": M{"dataLocation": location}})["dataDeletionJobArn"].(string)
	if job := h.Wait("dataDeletionJob", arn); job["status"] != "FAILED" || job["failureReason"] == "" {
		h.T.Errorf("%s: the deletion ended %v (%v)", name, job["status"], job["failureReason"])
	}
}

func TestAListThatChangesIsNeverMixed(t *testing.T) {
	t.Parallel()
	d := shop.Generate(30, 20, 300, 84)
	h, _ := behindTap(t)
	h.Load(h.Interactions, d.Interactions)
	h.Stop()
	h.Args("--hold", "300ms") // the call is answered before the job goes on
	h.Env = []string{"PALATE_CRASH=erase/hide:1"}
	h.Restart()
	arn := h.StartDeletion(d.Users[0])
	if !h.Died(t.Context()) {
		t.Fatal("the server did not come by the point of its crash")
	}
	h.Upload(h.Objects, "forget/"+path.Base(arn)+".csv", "USER_ID\n"+d.Users[1]+"\n") // on the other server, which is up
	h.Env = nil
	h.Restart()
	if job := h.Wait("dataDeletionJob", arn); job["status"] != "FAILED" || !strings.Contains(job["failureReason"].(string), "changed") {
		t.Errorf("with another list than it had read the deletion ended %v: %v", job["status"], job["failureReason"])
	}
	if diff := cmp.Diff(shop.Lines(d.Interactions), shop.Lines(h.Export(h.Interactions, "ALL"))); diff != "" {
		t.Error(diff)
	}
}

// tap is a proxy in front of an S3 endpoint. It notes what it is asked, and holds requests back while it is shut.
type tap struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
	shut  chan struct{} // closed: open
}

func newTap(t *testing.T, to string) *tap {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{shut: make(chan struct{})}
	close(p.shut)
	proxy := httputil.NewSingleHostReverseProxy(target) // keeps Host, which is signed
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r.Method+" "+r.URL.Path)
		shut := p.shut
		p.mu.Unlock()
		select {
		case <-shut:
		case <-r.Context().Done():
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// hold holds requests back until release is called.
func (p *tap) hold() (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	shut := make(chan struct{})
	p.shut = shut
	return sync.OnceFunc(func() { close(shut) })
}

// take returns what was asked since the last call.
func (p *tap) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.asked
	p.asked = nil
	return asked
}

// behindTap runs a server whose jobs reach their buckets, on another server, through a tap.
func behindTap(t *testing.T, args ...string) (h *shop.Shop, p *tap) {
	t.Helper()
	s3 := start(t)
	p = newTap(t, s3.URL)
	h = shop.Open(t, start(t, append(args, "--s3-endpoint", p.URL)...))
	h.Objects = s3.Bucket("shop")
	return h, p
}

func TestADeletionOnlyReadsTheCustomersBucket(t *testing.T) {
	t.Parallel()
	d := shop.Generate(30, 20, 300, 85)
	h, p := behindTap(t)
	h.Load(h.Interactions, d.Interactions)
	p.take()
	h.Forget(d.Users[0])
	asked := p.take()
	for _, request := range asked {
		if !strings.HasPrefix(request, "GET ") && !strings.HasPrefix(request, "HEAD ") {
			t.Errorf("the deletion asked the customer's S3 for %s", request)
		}
	}
	if len(asked) == 0 {
		t.Error("the list was not read through the proxy")
	}
}

func TestFivePendingDeletionsAndASecondRunOfAList(t *testing.T) {
	t.Parallel()
	d := shop.Generate(30, 20, 300, 86)
	h, p := behindTap(t)
	h.LoadAll(d)
	h.Version(h.Solution("aws-user-personalization"))
	list := M{"dataLocation": "s3://shop/forget/all.csv"}
	h.Upload(h.Objects, "forget/all.csv", "USER_ID\n"+d.Users[0]+"\n"+d.Users[7]+"\n")
	release := p.hold()
	defer release()
	create := func(n int) M {
		return M{"jobName": fmt.Sprint("forget-", n), "datasetGroupArn": h.Group, "roleArn": shop.Role, "dataSource": list}
	}
	var jobs []string
	jobs = append(jobs, h.Must("CreateDataDeletionJob", create(0))["dataDeletionJobArn"].(string))
	h.WatchFor("dataDeletionJob", jobs[0], "IN_PROGRESS") // it waits for its list
	for n := 1; n <= 5; n++ {
		jobs = append(jobs, h.Must("CreateDataDeletionJob", create(n))["dataDeletionJobArn"].(string))
	}
	h.Refused("LimitExceededException", "CreateDataDeletionJob", create(6))
	release()
	for n, arn := range jobs {
		job := h.Wait("dataDeletionJob", arn)
		want := 0
		if n == 0 {
			want = rowsOf(d.Interactions, d.Users[0], d.Users[7]) + 2
		}
		if job["status"] != "COMPLETED" || job["numDeleted"] != float64(want) {
			t.Errorf("run %d of the list ended %v (%v) with %v rows deleted, want %d", n, job["status"], job["failureReason"], job["numDeleted"], want)
		}
	}
	first := stateOf(h)
	if n := h.Forget(d.Users[7], d.Users[0]); n != 0 {
		t.Errorf("another run of the list deleted %d rows", n)
	}
	same(t, "state after another run of the list", first, stateOf(h))
}

// The import is accepted while the deletion still reads its list, and reads its rows when the deletion has gone on.
func TestAnImportThatWasAcceptedEarlierBringsNobodyBack(t *testing.T) {
	t.Parallel()
	d := shop.Generate(30, 20, 300, 87)
	h, p := behindTap(t)
	h.Load(h.Interactions, d.Interactions)
	release := p.hold()
	defer release()
	deletion := h.StartDeletion(d.Users[0])
	h.WatchFor("dataDeletionJob", deletion, "IN_PROGRESS")
	more := [][]string{d.Interactions[0]}
	for _, row := range d.Interactions[1:] {
		more = append(more, []string{row[0], row[1], "18" + row[2][2:], row[3], row[4]})
	}
	imported := h.StartImport(h.Interactions, more, "INCREMENTAL")
	release()
	h.Imported(imported)
	job := h.Wait("dataDeletionJob", deletion)
	if want := 2 * rowsOf(d.Interactions, d.Users[0]); job["status"] != "COMPLETED" || job["numDeleted"] != float64(want) {
		t.Errorf("ended %v (%v) with %v rows deleted, want %d", job["status"], job["failureReason"], job["numDeleted"], want)
	}
	left := append(shop.Without(d.Interactions, d.Users[0]), shop.Without(more, d.Users[0])[1:]...)
	if diff := cmp.Diff(shop.Lines(left), shop.Lines(h.Export(h.Interactions, "ALL"))); diff != "" {
		t.Error(diff)
	}
	h.AssertNoBytesOf(d.Users[0])
}
