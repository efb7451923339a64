// Package opentables lets other engines, pyiceberg and Apache Spark, read and change the tables of a running server through the lines that
// docs/open-tables.md shows. install.sh gets them; where they are missing the tests say so and are skipped.
package opentables

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

type M = shop.M

const schema = `{"type":"record","name":"Interactions","namespace":"com.amazonaws.personalize.schema","version":"1.0","fields":[
	{"name":"USER_ID","type":"string"},{"name":"ITEM_ID","type":"string"},{"name":"TIMESTAMP","type":"long"},{"name":"EVENT_TYPE","type":["string","null"]},
	{"name":"QTY","type":["int","null"]},{"name":"PRICE_PAID","type":["double","null"]},{"name":"IS_MEMBER","type":["boolean","null"]}]}`

var header = []string{"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "QTY", "PRICE_PAID", "IS_MEMBER"}

// generate makes n rows of a few users; some cells are null.
func generate(n int) [][]string {
	rows := [][]string{header}
	for i := range n {
		row := []string{fmt.Sprintf("canary-user-%02d", i*7%23), fmt.Sprintf("item-%02d", i*5%17), fmt.Sprint(1_700_000_000 + i), "view", fmt.Sprint(i - 50), fmt.Sprint(float64(i) / 8), "true"}
		if i%3 == 0 {
			row[3], row[4], row[5], row[6] = "", "", "", "false"
		}
		if i%5 == 0 {
			row[6] = ""
		}
		rows = append(rows, row)
	}
	return rows
}

// installed is where install.sh puts things.
func installed() string {
	if dir := os.Getenv("PALATE_OPENTABLES"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = filepath.Join(os.TempDir(), ".cache")
	}
	return filepath.Join(dir, "palate-opentables")
}

// jars finds the files of the packages that the documented lines name.
func jars(t *testing.T, lines string) (paths []string) {
	t.Helper()
	packages := regexp.MustCompile(`"spark.jars.packages": "(.*)"`).FindStringSubmatch(lines)
	if packages == nil {
		t.Fatal("the lines for Spark name no packages")
	}
	for coordinates := range strings.SplitSeq(packages[1], ",") {
		parts := strings.Split(coordinates, ":")
		path := filepath.Join(installed(), "jars", parts[1]+"-"+parts[2]+".jar")
		if _, err := os.Stat(path); err != nil {
			t.Skipf("%s is not installed (test/opentables/install.sh): Spark is not tested", filepath.Base(path))
		}
		paths = append(paths, path)
	}
	return paths
}

// python is a running interpreter.
type python struct {
	t   *testing.T
	in  *json.Encoder
	out *bufio.Reader
	log *strings.Builder
}

// start runs driver.py, or skips the test if a module is missing.
func start(t *testing.T, what string, modules ...string) *python {
	t.Helper()
	binary := filepath.Join(installed(), "venv", "bin", "python")
	if err := exec.CommandContext(t.Context(), binary, "-c", "import "+strings.Join(modules, ", ")).Run(); err != nil {
		t.Skipf("%s is not installed (test/opentables/install.sh): it is not tested", what)
	}
	p := &python{t: t, log: &strings.Builder{}}
	cmd := exec.CommandContext(t.Context(), binary, "driver.py")
	cmd.Env = append(os.Environ(), "SPARK_LOCAL_IP=127.0.0.1", "SPARK_LOCAL_DIRS="+t.TempDir(),
		"JAVA_TOOL_OPTIONS=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC") // a short run: compiling well would cost more than it saves
	cmd.Stderr = p.log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.in, p.out = json.NewEncoder(in), bufio.NewReader(out)
	t.Cleanup(func() {
		in.Close() // the end of its input ends it
		cmd.Wait()
		if t.Failed() {
			t.Logf("the interpreter said:\n%s", p.log)
		}
	})
	return p
}

// answer is what the driver says to a piece of code.
type answer struct {
	Error  string
	Result json.RawMessage
}

func (p *python) ask(code string) (a answer) {
	p.t.Helper()
	if err := p.in.Encode(code); err != nil {
		p.t.Fatal(err)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		p.t.Fatalf("%v\nof %s", err, code)
	}
	if err := json.Unmarshal(line, &a); err != nil {
		p.t.Fatal(err)
	}
	return a
}

// run executes code and decodes what it leaves in the variable result.
func (p *python) run(code string, result any) {
	p.t.Helper()
	answer := p.ask(code)
	for n := 0; n < 5 && strings.Contains(answer.Error, "No such file"); n++ { // palate has just replaced a file: docs/open-tables.md says what to do
		answer = p.ask(code)
	}
	if answer.Error != "" {
		p.t.Fatalf("%s\nof %s", answer.Error, code)
	}
	if result == nil {
		return
	}
	d := json.NewDecoder(strings.NewReader(string(answer.Result)))
	d.UseNumber()
	if err := d.Decode(result); err != nil {
		p.t.Fatal(err)
	}
}

// rows evaluates an expression to a list of dictionaries, and returns the columns of the schema as an export would show them.
func (p *python) rows(expression string) [][]string {
	p.t.Helper()
	var dicts []map[string]any
	p.run("result = "+expression, &dicts)
	rows := [][]string{header}
	for _, d := range dicts {
		var row []string
		for _, name := range header {
			text := ""
			if v := d[name]; v != nil {
				text = strings.TrimSuffix(fmt.Sprint(v), ".0")
			}
			row = append(row, text)
		}
		rows = append(rows, row)
	}
	return rows
}

// A market is a server with one dataset, and what must be in it.
type market struct {
	*shop.Shop
	t    *testing.T
	want [][]string
}

func open(t *testing.T) *market {
	t.Helper()
	m := &market{Shop: shop.New(t, server.Start(t), "market", ""), t: t, want: generate(300)}
	m.Interactions = m.Dataset("Interactions", schema)
	m.Load(m.Interactions, m.want)
	m.Must("PutEvents", M{"trackingId": m.Tracker(), "userId": "canary-fresh", "sessionId": "canary-session", "eventList": []M{
		{"eventType": "buy", "itemId": "item-01", "sentAt": 1_800_000_000, "properties": `{"QTY":3,"PRICE_PAID":2.5,"IS_MEMBER":true}`}}})
	m.want = append(m.want, []string{"canary-fresh", "item-01", "1800000000", "buy", "3", "2.5", "true"})
	m.Forget("canary-nobody") // a deletion folds all events into the tables
	return m
}

// tables runs palate tables beside the server.
func (m *market) tables(flag string) string {
	m.t.Helper()
	binary, err := server.Binary()
	if err != nil {
		m.t.Fatal(err)
	}
	cmd := exec.CommandContext(m.t.Context(), binary, "tables", "--data", m.Data, flag)
	out, err := cmd.Output()
	if err != nil {
		m.t.Fatalf("palate tables %s: %v", flag, err)
	}
	return string(out)
}

// takenOver waits until palate has looked at the last commit of another engine, and returns what became of it.
func (m *market) takenOver() (outcome string) {
	m.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		var line struct {
			Pending     bool
			OtherEngine string
		}
		if err := json.Unmarshal([]byte(m.tables("--json")), &line); err != nil {
			m.t.Fatal(err)
		}
		if !line.Pending {
			return line.OtherEngine
		}
	}
	m.t.Fatal("nobody looked at the commit within two minutes")
	return ""
}

// holds asserts that the dataset has the rows that it must have, and that got, if any, are the same.
func (m *market) holds(what string, got [][]string) {
	m.t.Helper()
	if got == nil {
		got = m.Export(m.Interactions, "ALL")
	}
	if diff := cmp.Diff(shop.Lines(m.want), shop.Lines(got)); diff != "" {
		m.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func (m *market) add(rows ...[]string) { m.want = append(m.want, rows...) }

func (m *market) drop(gone func(row []string) bool) {
	m.want = append(m.want[:1:1], slices.DeleteFunc(slices.Clone(m.want[1:]), gone)...)
}

// forget erases a user through the API and checks that every row went and no byte is left.
func (m *market) forget(user string) {
	m.t.Helper()
	before := len(m.want)
	m.drop(func(row []string) bool { return row[0] == user })
	if n := m.Forget(user); n != before-len(m.want) || n == 0 {
		m.t.Errorf("%d rows were deleted, want %d", n, before-len(m.want))
	}
	m.AssertNoBytesOf(user)
}

func TestPyicebergReadsAndChangesATable(t *testing.T) {
	p := start(t, "pyiceberg", "pyiceberg", "pyiceberg_core", "pyarrow", "sqlalchemy")
	m := open(t)
	lines := m.tables("--pyiceberg")
	read := func() [][]string {
		t.Helper()
		p.run(lines, nil)
		return p.rows("rows.to_pylist()")
	}
	m.holds("what pyiceberg reads", read())
	var types map[string]string
	p.run(`result = {f.name: str(f.field_type) for f in table.schema().fields}`, &types)
	wantTypes(t, types, map[string]string{"QTY": "int", "TIMESTAMP": "long", "PRICE_PAID": "double", "IS_MEMBER": "boolean", "USER_ID": "string"})

	p.run(`import pyarrow
schema = pyarrow.schema([f for f in rows.schema if not f.name.startswith("_")])
table.append(pyarrow.Table.from_pylist([
    {"USER_ID": "canary-python", "ITEM_ID": "item-02", "TIMESTAMP": 1900000000, "EVENT_TYPE": "view", "QTY": 1, "PRICE_PAID": 0.5, "IS_MEMBER": False},
    {"USER_ID": "canary-user-01", "ITEM_ID": "item-03", "TIMESTAMP": 1900000001},
], schema=schema))`, nil)
	if outcome := m.takenOver(); outcome != "taken over: 2 rows more" {
		t.Fatal(outcome)
	}
	m.add([]string{"canary-python", "item-02", "1900000000", "view", "1", "0.5", "false"}, []string{"canary-user-01", "item-03", "1900000001", "", "", "", ""})
	m.holds("after rows were appended", nil)

	p.run(lines+"\ntable.delete(\"ITEM_ID == 'item-03' and QTY > 0\")", nil)
	m.drop(func(row []string) bool {
		return row[1] == "item-03" && row[4] != "" && row[4] != "0" && row[4][0] != '-'
	})
	if outcome := m.takenOver(); !strings.HasPrefix(outcome, "taken over: ") {
		t.Fatal(outcome)
	}
	m.holds("after rows were deleted", nil)

	m.forget("canary-python")
	m.holds("after a user was erased", nil)
	m.holds("what pyiceberg reads then", read())
}

func wantTypes(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, kind := range want {
		if got[name] != kind {
			t.Errorf("column %s is a %s, want %s", name, got[name], kind)
		}
	}
}

func TestSparkReadsAndChangesATable(t *testing.T) {
	if _, err := exec.LookPath("java"); err != nil {
		t.Skip("java is not installed: Spark is not tested")
	}
	p := start(t, "pyspark", "pyspark")
	m := open(t)
	lines := m.tables("--spark")
	local := regexp.MustCompile(`"spark.jars.packages": ".*"`).ReplaceAllString(lines, `"spark.jars": "`+strings.Join(jars(t, lines), ",")+
		`", "spark.master": "local[2]", "spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "2", "spark.default.parallelism": "2"`)
	read := func() [][]string {
		t.Helper()
		p.run(local, nil)
		return p.rows("[r.asDict() for r in rows.collect()]")
	}
	m.holds("what Spark reads", read())
	var types map[string]string
	p.run(`result = dict(rows.dtypes)`, &types)
	wantTypes(t, types, map[string]string{"QTY": "int", "TIMESTAMP": "bigint", "PRICE_PAID": "double", "IS_MEMBER": "boolean", "USER_ID": "string"})

	name := regexp.MustCompile("palate\\.`.*`").FindString(lines)
	p.run(`spark = rows.sparkSession
spark.sql("INSERT INTO `+name+` (USER_ID, ITEM_ID, TIMESTAMP, EVENT_TYPE, QTY, PRICE_PAID, IS_MEMBER) VALUES ('canary-spark', 'item-02', 1900000000, 'view', 1, 0.5, false), ('canary-user-01', 'item-03', 1900000001, NULL, NULL, NULL, NULL)")`, nil)
	if outcome := m.takenOver(); outcome != "taken over: 2 rows more" {
		t.Fatal(outcome)
	}
	m.add([]string{"canary-spark", "item-02", "1900000000", "view", "1", "0.5", "false"}, []string{"canary-user-01", "item-03", "1900000001", "", "", "", ""})
	m.holds("after rows were inserted", nil)

	p.run(`spark.sql("DELETE FROM `+name+` WHERE USER_ID = 'canary-user-07'")`, nil)
	m.drop(func(row []string) bool { return row[0] == "canary-user-07" })
	if outcome := m.takenOver(); !strings.HasPrefix(outcome, "taken over: ") {
		t.Fatal(outcome)
	}
	m.holds("after rows were deleted", nil)

	p.run(`spark.sql("ALTER TABLE `+name+` ADD COLUMN MOOD STRING")`, nil)
	if outcome := m.takenOver(); outcome != "undone: columns are changed with UpdateDataset only" {
		t.Error(outcome)
	}

	m.forget("canary-spark")
	m.holds("after a user was erased", nil)
	m.holds("what Spark reads then", read())
}
