package baseline

import (
	"context"
	"fmt"
	"testing"
)

// BenchmarkTrain learns from 5,000 rows.
func BenchmarkTrain(b *testing.B) {
	rows := correlated(5000, 1)
	for _, kind := range Kinds() {
		b.Run(string(kind), func(b *testing.B) {
			for b.Loop() {
				if _, err := Train(context.Background(), kind, rows, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkScore scores benign rows after learning from 5,000, in batches of 1
// and of 256.
func BenchmarkScore(b *testing.B) {
	rows, test := correlated(5000, 1), correlated(256, 2)
	scores := make([]float64, len(test))
	for _, c := range []struct {
		name string
		kind Kind
		o    Options
	}{
		{"svm", SVM, Options{}},
		{"svm,nu=0.1", SVM, Options{SVM: SVMOptions{Nu: 0.1}}},
		{"iforest", IForest, Options{}},
		{"lof", LOF, Options{}},
		{"pca", PCA, Options{}},
		{"hbos", HBOS, Options{}},
		{"kitnet", KitNET, Options{}},
	} {
		d := learned(b, c.kind, rows, c.o)
		for _, batch := range []int{1, 256} {
			b.Run(fmt.Sprintf("%s/batch=%d", c.name, batch), func(b *testing.B) {
				at, done := 0, 0
				for b.Loop() {
					d.Score(test[at:at+batch], scores)
					at = (at + batch) % len(test)
					done += batch
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(done), "ns/row")
			})
		}
	}
}
