package detect

import (
	"math"
	"os"
	"strings"
	"testing"
)

func TestSignedLog1p(t *testing.T) {
	for e := -40.0; e <= 38.5; e += 0.001 {
		x := math.Pow(10, e)
		got, want := signedLog1p(x), math.Log1p(x)
		if math.Abs(got-want) > 1e-14*want {
			t.Fatalf("at %v: %v, want %v", x, got, want)
		}
		if signedLog1p(-x) != -got {
			t.Fatalf("not odd at %v", x)
		}
	}
	if signedLog1p(0) != 0 {
		t.Error("at 0")
	}
}

// TestPairColumns holds the column numbers against the official header.
func TestPairColumns(t *testing.T) {
	header, err := os.ReadFile("../../../shared/data/nbaiot/reference/header_115_columns.csv")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	names := strings.Split(strings.TrimSpace(string(header)), ",")
	found, columns := 0, pairColumns()
	for _, at := range columns {
		for offset, want := range map[int]string{stdColumn: "std", covarianceColumn: "covariance", pccColumn: "pcc"} {
			if !strings.HasSuffix(names[at+offset], "_"+want) {
				t.Errorf("column %d is %s, want a %s", at+offset, names[at+offset], want)
			}
		}
	}
	for _, n := range names {
		if strings.HasSuffix(n, "_pcc") {
			found++
		}
	}
	if found != len(columns) {
		t.Errorf("the header has %d correlations, %d are handled", found, len(columns))
	}
}

func TestCorrelationIsCleaned(t *testing.T) {
	for _, c := range []struct {
		std, covariance, pcc float32
		want                 float64
	}{
		{20, 60, 0.5, 0.5},      // the other stream's std is 6
		{20, -60, -0.5, -0.5},   //
		{0.5, 60, 0.5, 0},       // own stream hardly varies
		{20, 5, 0.5, 0},         // the other's std is 0.5
		{2e-5, 3e-9, 900, 0},    // noise divided by noise
		{20, 900, 1.5, 1},       // outside [-1, 1]
		{20, 0, 0, 0},           // one way only
		{1000, -1500, -1.5, -1}, // both at once
	} {
		var r row
		r[58+stdColumn], r[58+covarianceColumn], r[58+pccColumn] = c.std, c.covariance, c.pcc
		if got := correlation(r[58:]); got != c.want {
			t.Errorf("std %v, covariance %v, pcc %v: %v, want %v", c.std, c.covariance, c.pcc, got, c.want)
		}
	}
}

func TestScaledColumns(t *testing.T) {
	in := device(1000, 3)
	s := fitScaler(in.Rows)
	var sum, square, constant float64
	var out row
	for i := range in.Rows {
		if !s.apply(&in.Rows[i], out[:]) {
			t.Fatalf("row %d is not finite", i)
		}
		sum += float64(out[17])
		square += float64(out[17]) * float64(out[17])
		constant += math.Abs(float64(out[19]))
	}
	if math.Abs(sum) > 0.1 || math.Abs(square-1000) > 1 {
		t.Errorf("a scaled column sums to %v, its squares to %v, want 0 and 1000", sum, square)
	}
	if s.sigma[19] != sigmaFloor || constant > 1e-6 {
		t.Errorf("a constant column has sigma %v and is scaled to %v", s.sigma[19], constant/1000)
	}
	in.Rows[0][114] = float32(math.Inf(-1))
	if s.apply(&in.Rows[0], out[:]) {
		t.Error("an infinity was scaled")
	}
}
