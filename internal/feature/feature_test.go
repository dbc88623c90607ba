package feature

import (
	"bytes"
	"encoding/csv"
	"strconv"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	header := strings.TrimSpace(string(dataFile(t, "nbaiot/reference/header_115_columns.csv")))
	names := Names()
	if got := strings.Join(names[:], ","); got != header {
		t.Errorf("the names are\n%s\nthe official header is\n%s", got, header)
	}
}

// TestGenuineRows reads rows that the authors of N-BaIoT published and checks
// what the columns' names promise: a weight of 1 or more, no negative variance,
// and a magnitude of at least the mean.
func TestGenuineRows(t *testing.T) {
	for _, name := range []string{"benign", "gafgyt_scan"} {
		b := dataFile(t, "nbaiot/genuine_rows/danmini_doorbell."+name+".first299.csv")
		rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != 300 || [Count]string(rows[0]) != Names() {
			t.Fatalf("%s: got %d lines under the header %v", name, len(rows), rows[0])
		}
		for i, row := range rows[1:] {
			checkGenuine(t, row, name+" row "+strconv.Itoa(i))
		}
	}
}

func checkGenuine(t *testing.T, row []string, where string) {
	t.Helper()
	var v Vector
	for c, text := range row {
		var err error
		if v[c], err = strconv.ParseFloat(text, 64); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
	}
	for c, n := range Names() {
		switch {
		case strings.HasSuffix(n, "_weight") && v[c] < 1,
			strings.HasSuffix(n, "_variance") && v[c] < 0,
			strings.HasSuffix(n, "_magnitude") && v[c] < v[c-2]*(1-1e-9):
			t.Errorf("%s: %s is %v", where, n, v[c])
		}
	}
}

// TestDigest fails when the definition changes: models that were trained before
// then no longer fit, so the change must be meant.
func TestDigest(t *testing.T) {
	const want = "1ea917c6339256f2f37f4bcef8a960f60d672e92539e6be35f393e91ac3a7220"
	if got := Digest().String(); got != want {
		t.Errorf("the digest is %s, want %s", got, want)
	}
}
