package evaluate

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// small is a result with a device whose name must not become part of a page.
func small(t *testing.T) *Result {
	t.Helper()
	o := quick()
	o.Title = "T<b>est"
	o.Algorithms = []string{Autoencoder, "iforest"}
	benign := line(300, 1)
	benign.Notes = []string{"noted <i>"}
	r, err := Run(t.Context(), []Device{{"<script>lamp", fixed(benign), []Set{{"x&y", fixed(line(80, 9))}}}}, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "report")
	if err := small(t).Write(dir); err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, name := range []string{"fig5-rates", "fig5-rates-vote", "fig5-rates-calm", "fig6-detection-time"} {
		if _, err := png.Decode(bytes.NewReader(read(name + ".png"))); err != nil {
			t.Errorf("%s.png: %v", name, err)
		}
		wellFormed(t, name, read(name+".svg"))
	}
	checkPage(t, string(read("report.html")))
	checkTable(t, read("results.csv"))
	var numbers struct {
		Attacks []struct {
			AUC struct{ Mean float64 }
		}
	}
	if err := json.Unmarshal(read("results.json"), &numbers); err != nil || len(numbers.Attacks) != 8 || numbers.Attacks[0].AUC.Mean != 1 {
		t.Errorf("results.json: %+v, %v", numbers, err)
	}
}

func wellFormed(t *testing.T, name string, svg []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		_, err := d.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatalf("%s.svg: %v", name, err)
		}
	}
}

// checkPage: whole, escaped, and nothing is fetched.
func checkPage(t *testing.T, page string) {
	t.Helper()
	for _, want := range []string{"T&lt;b&gt;est", "&lt;script&gt;lamp", "noted &lt;i&gt;", "x&amp;y", "<svg", "Isolation forest", "Methods", "</html>"} {
		if !strings.Contains(page, want) {
			t.Errorf("report.html has no %q", want)
		}
	}
	page = strings.ReplaceAll(strings.ReplaceAll(page, "http://www.w3.org/2000/svg", ""), "http://www.w3.org/1999/xlink", "")
	for _, not := range []string{"<script", "http://", "https://", "src=", "@import", "url("} {
		if strings.Contains(page, not) {
			t.Errorf("report.html has %q", not)
		}
	}
}

func checkTable(t *testing.T, table []byte) {
	t.Helper()
	lines, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	// 2 algorithms: 3 measures of computing, 4 rules with 8 benign ones and 12 of the attack.
	if len(lines) != 1+2*(3+4*8+4*12) {
		t.Errorf("results.csv has %d lines", len(lines))
	}
	for _, l := range lines {
		if l[4] == "auc" && l[2] == Autoencoder && (l[6] != "1" || l[9] != "1 1") {
			t.Errorf("AUC of an attack far away: %q", l)
		}
	}
}

func TestWriteFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := small(t).Write(file); err == nil || !strings.Contains(err.Error(), "file") {
		t.Errorf("a report in place of a file: %v", err)
	}
}
