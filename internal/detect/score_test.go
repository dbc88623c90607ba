package detect

import (
	"math"
	"slices"
	"sync"
	"testing"

	"bellwether/internal/zone"
)

func TestScoreIsIndependentOfTheBatch(t *testing.T) {
	in := device(400, 1)
	m := train(t, in, quick())
	whole := make([]float64, len(in.Rows))
	m.Score(in.Rows, whole)
	s := m.NewScorer()
	for _, size := range []int{1, 3, chunk, chunk + 1} {
		got := make([]float64, len(in.Rows))
		for at := 0; at < len(got); at += size {
			end := min(at+size, len(got))
			s.Score(in.Rows[at:end], got[at:end])
		}
		if !slices.Equal(got, whole) {
			t.Errorf("batches of %d gave other scores", size)
		}
	}
}

func TestScorersRunAtOnce(t *testing.T) {
	in := device(400, 1)
	m := train(t, in, quick())
	want := make([]float64, len(in.Rows))
	m.Score(in.Rows, want)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got := make([]float64, len(in.Rows))
			m.NewScorer().Score(in.Rows, got)
			if !slices.Equal(got, want) {
				t.Error("a scorer beside others gave other scores")
			}
			m.Explain(&in.Rows[0])
		})
	}
	wg.Wait()
}

func TestScoreOfBrokenRows(t *testing.T) {
	in := device(300, 1)
	m := train(t, in, quick())
	want := make([]float64, 3)
	m.Score(in.Rows[:3], want)
	rows := slices.Clone(in.Rows[:3])
	rows[1][36] = float32(math.NaN()) // a correlation
	scores := make([]float64, 3)
	m.Score(rows, scores)
	if scores[0] != want[0] || !math.IsInf(scores[1], 1) || scores[2] != want[2] {
		t.Errorf("scores %v, want %v with +Inf in the middle", scores, want)
	}
	c := m.Explain(&rows[1])
	if c[0].Index != 36 || c[0].Share != 1 || c[1].Share != 0 {
		t.Errorf("the broken feature is explained by %+v, %+v", c[0], c[1])
	}
}

func TestScoreAllocatesNothing(t *testing.T) {
	in := device(300, 1)
	s := train(t, in, quick()).NewScorer()
	scores := make([]float64, len(in.Rows))
	if n := testing.AllocsPerRun(5, func() { s.Score(in.Rows, scores) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestExplain(t *testing.T) {
	in := device(400, 1)
	m := train(t, in, Options{Epochs: 20})
	r := in.Rows[390]
	r[70] *= 500
	scores := make([]float64, 1)
	m.Score([][zone.Features]float32{r}, scores)
	cs := m.Explain(&r)
	if len(cs) != zone.Features || cs[0].Index != 70 || cs[0].Observed != r[70] || cs[0].Usual.High >= r[70] {
		t.Fatalf("first of %d contributions: %+v", len(cs), cs[0])
	}
	if cs[0].Usual != m.Usual[70] || cs[0].Usual.Low > in.Rows[390][70]*100 {
		t.Errorf("usual range %v", cs[0].Usual)
	}
	sum := 0.0
	for i, c := range cs {
		sum += c.Share
		if i > 0 && c.Share > cs[i-1].Share {
			t.Errorf("contribution %d is larger than the one before", i)
		}
	}
	if math.Abs(sum-1) > 1e-12 {
		t.Errorf("shares sum to %v", sum)
	}
	errs, total := m.squaredErrors(&r)
	if got := total / zone.Features; got != scores[0] || errs[70]/total != cs[0].Share {
		t.Errorf("the errors explained make a score of %v, want %v", got, scores[0])
	}
}

func BenchmarkScore1(b *testing.B)   { benchmarkScore(b, 1) }
func BenchmarkScore256(b *testing.B) { benchmarkScore(b, 256) }

func benchmarkScore(b *testing.B, n int) {
	in := device(max(n, 300), 1)
	s := train(b, in, quick()).NewScorer()
	scores := make([]float64, n)
	b.ReportAllocs()
	for b.Loop() {
		s.Score(in.Rows[:n], scores)
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkTrain14000(b *testing.B) {
	in := device(14_000, 1)
	epochs := 0
	for b.Loop() {
		epochs += train(b, in, Options{}).Fit.Epochs
	}
	b.ReportMetric(float64(epochs)/float64(b.N), "epochs")
	b.ReportMetric(float64(epochs)*8400/b.Elapsed().Seconds(), "rows/s")
}
