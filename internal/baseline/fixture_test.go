package baseline

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"slices"
	"testing"
)

// The fixtures are made by testdata/fixtures.py with scikit-learn 1.2.1.

func unpacked(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	content, err := io.ReadAll(z)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return content
}

func fromJSON[T any](t testing.TB, name string) (v T) {
	t.Helper()
	if err := json.Unmarshal(unpacked(t, name), &v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// fixtureRows gives the 400 rows that were learned from and the 100 scored.
func fixtureRows(t testing.TB) (train, test []row) {
	t.Helper()
	raw := unpacked(t, "rows.i16.gz")
	if want := 500 * len(row{}) * 2; len(raw) != want {
		t.Fatalf("rows take %d bytes, want %d", len(raw), want)
	}
	rows := make([]row, 500)
	for i := range rows {
		for c := range rows[i] {
			at := 2 * (i*len(row{}) + c)
			rows[i][c] = float32(int16(binary.LittleEndian.Uint16(raw[at:]))) / 512
		}
	}
	return rows[:400], rows[400:]
}

// near fails when any score is further from the wanted one than limit, as a
// share of the wanted one or of scale, whichever is greater.
func near(t *testing.T, got, want []float64, limit, scale float64) {
	t.Helper()
	if len(want) != 100 || len(got) != len(want) {
		t.Fatalf("%d scores, %d wanted, not 100 of each", len(got), len(want))
	}
	worst := 0.0
	for i := range got {
		off := math.Abs(got[i]-want[i]) / max(math.Abs(want[i]), scale)
		if worst = max(worst, off); !(off <= limit) {
			t.Errorf("row %d scores %v, in the fixture %v", i, got[i], want[i])
		}
	}
	t.Logf("largest difference %.2g of a score", worst)
}

type sklearnFixture struct {
	SVM []struct {
		Nu, Gamma, Tolerance, Offset float64
		Vectors                      int
		Decision                     []float64
	}
	LOF []struct {
		Neighbours int
		Score      []float64
	}
	Forests struct{ Mean, Deviation []float64 }
	PCA     []struct {
		Share           float64
		Components      int
		Error, Distance []float64
	}
}

func readSklearn(t testing.TB) sklearnFixture {
	t.Helper()
	f := fromJSON[sklearnFixture](t, "sklearn.json.gz")
	if len(f.SVM) != 4 || len(f.LOF) != 3 || len(f.PCA) != 2 {
		t.Fatalf("the fixture has %d SVM, %d LOF and %d PCA", len(f.SVM), len(f.LOF), len(f.PCA))
	}
	return f
}

// TestSVMAgrees: with a tight tolerance both solvers are at the one optimum;
// with the usual one each stops somewhere near it.
func TestSVMAgrees(t *testing.T) {
	train, test := fixtureRows(t)
	for _, want := range readSklearn(t).SVM {
		o := Options{SVM: SVMOptions{Nu: want.Nu, Gamma: want.Gamma, Tolerance: want.Tolerance}}
		if o.SVM.Gamma < 0.03 { // scikit-learn's default
			o.SVM.Gamma = 0
		}
		m := learned(t, SVM, train, o).(*machine)
		if math.Abs(m.gamma/want.Gamma-1) > 1e-6 {
			t.Errorf("gamma %v, want %v", m.gamma, want.Gamma)
		}
		decision := scored(m, test)
		for i := range decision {
			decision[i] = -decision[i]
		}
		limit := 2e-6
		if want.Tolerance > 1e-6 {
			limit = want.Tolerance / want.Offset
		}
		near(t, decision, want.Decision, limit, want.Offset)
		if off := math.Abs(m.offset/want.Offset - 1); off > limit {
			t.Errorf("offset %v, want %v", m.offset, want.Offset)
		}
		if got := support(m); math.Abs(float64(got-want.Vectors)) > 2 {
			t.Errorf("%d support vectors, want %d", got, want.Vectors)
		}
	}
}

func support(m *machine) (n int) {
	for _, w := range m.weights {
		if w > 0 {
			n++
		}
	}
	return n
}

func TestLOFAgrees(t *testing.T) {
	train, test := fixtureRows(t)
	for _, want := range readSklearn(t).LOF {
		d := learned(t, LOF, train, Options{LOF: LOFOptions{Neighbours: want.Neighbours}})
		near(t, scored(d, test), want.Score, 2e-6, 1)
	}
}

func TestPCAAgrees(t *testing.T) {
	train, test := fixtureRows(t)
	for _, want := range readSklearn(t).PCA {
		d := learned(t, PCA, train, Options{PCA: PCAOptions{Variance: want.Share}}).(*components)
		if len(d.axes) != want.Components {
			t.Errorf("%d components, want %d", len(d.axes), want.Components)
		}
		near(t, scored(d, test), want.Error, 1e-9, 0)
		d = learned(t, PCA, train, Options{PCA: PCAOptions{Variance: want.Share, Mahalanobis: true}}).(*components)
		near(t, scored(d, test), want.Distance, 1e-9, 0)
	}
}

// TestKitNETAgrees holds the groups, and learning from the same first weights,
// against the fixture's own program.
func TestKitNETAgrees(t *testing.T) {
	train, test := fixtureRows(t)
	want := fromJSON[struct {
		MapRows int `json:"map_rows"`
		Group   int
		Groups  [][]int
		Weights [][]float64
		Score   []float64
	}](t, "kitnet.json.gz")
	groups := groupFeatures(train[:want.MapRows], want.Group)
	for _, g := range groups {
		slices.Sort(g)
	}
	slices.SortFunc(groups, slices.Compare)
	if len(groups) != len(want.Groups) || len(groups) < 5 {
		t.Fatalf("%d groups, want %d", len(groups), len(want.Groups))
	}
	for i, g := range groups {
		if !slices.EqualFunc(g, want.Groups[i], func(a uint8, b int) bool { return int(a) == b }) {
			t.Errorf("group %d is %v, want %v", i, g, want.Groups[i])
		}
	}
	o := Options{}.withDefaults().KitNET
	e := newEnsemble(groups, 0, o)
	for i, a := range append(slices.Clone(e.small), e.last) {
		if copy(a.weights, want.Weights[i]) != len(a.weights) || len(want.Weights[i]) != len(a.weights) {
			t.Fatalf("autoencoder %d has %d weights, want %d", i, len(a.weights), len(want.Weights[i]))
		}
	}
	for i := range train[want.MapRows:] {
		e.learn(&train[want.MapRows+i], o.LearningRate)
	}
	near(t, scored(e, test), want.Score, 1e-9, 0)
}
