// Package baseline holds the detectors that ours is compared with: those of the
// paper (one-class SVM, isolation forest, local outlier factor), and PCA, HBOS
// and KitNET, which are cheap. Train learns one from the benign rows of a
// device, and the Detector says of other rows how unlike them they are.
//
// Rows come scaled, in the same way as they will for scoring: a signed
// logarithm and standardising suits all kinds. Only HBOS, by its bins, and KitNET,
// by its 0–1 ranges, scale once more, as their authors say. Nothing here chooses
// a threshold. Defaults are scikit-learn's or the authors', see Options; where a
// kind differs from its paper its type's comment says so.
//
// The algorithms are written here and held against scikit-learn 1.2.1 on 400
// rows learned from and 100 scored (testdata/fixtures.py). Differences are shares
// of a score, for the SVM of its offset:
//
//	SVM      four choices of ν and γ          1e-6, and as many support vectors ± 2
//	LOF      5, 20 and 100 neighbours         6e-7
//	IForest  scikit-learn's trees, our scorer 7e-16
//	         30 forests of 200 trees each     1.1e-2, at most 2.4 standard errors of
//	                                          the means, rank correlation 0.996
//	PCA      error and distance, two shares   4e-14
//	KitNET   a second program in numpy        8e-14, and the same groups
//
// SVM and LOF differ by that much because distances are summed in float32. Ties
// are broken otherwise than in scikit-learn: LOF takes the earlier rows.
//
// Everything is deterministic: the same rows, options and seed give the same
// scores, bit for bit, on every architecture, and a row's score does not depend on
// its batch. One goroutine is used. The package has no clock and does no input
// or output.
//
// It refuses rows that hold NaN, infinities or values beyond ±1e15, and fewer
// than 20 of them. SVM and LOF keep at most Options.MaxRows rows, evenly spaced:
// training time grows with their square, and LOF's scoring with their number.
// LOF knows no measure where more rows than neighbours are all alike: there the
// density is 1e10, and whatever is not just the same is far outside.
package baseline

import (
	"context"
	"fmt"
	"math"

	"bellwether/internal/zone"
)

// Kind names a detector.
type Kind string

// The kinds.
const (
	SVM     Kind = "svm"     // one-class support vector machine, Schölkopf et al. 2001
	IForest Kind = "iforest" // isolation forest, Liu, Ting and Zhou 2008
	LOF     Kind = "lof"     // local outlier factor of new rows, Breunig et al. 2000
	PCA     Kind = "pca"     // principal components
	HBOS    Kind = "hbos"    // histogram-based outlier score, Goldstein and Dengel 2012
	KitNET  Kind = "kitnet"  // ensemble of small autoencoders, Mirsky et al. 2018
)

// Kinds gives all kinds, the paper's first.
func Kinds() []Kind { return []Kind{SVM, IForest, LOF, PCA, HBOS, KitNET} }

// row is one snapshot's features, scaled by the caller.
type row = [zone.Features]float32

// Detector scores rows. It is not changed by scoring: any number of goroutines
// may use it at once.
type Detector interface {
	// Score sets scores[i] to the score of rows[i]: the larger, the less like
	// the benign rows. Scales differ between kinds. It depends on the row alone,
	// not on its batch; a row with a NaN or an infinity scores +Inf. It
	// allocates nothing, and panics when scores is shorter than rows.
	Score(rows [][zone.Features]float32, scores []float64)
}

// MinRows is the fewest rows that any kind learns from.
const MinRows = 20

// maxValue bounds what is learned from, so that no squared distance overflows.
const maxValue = 1e15

// Train fits a detector on the benign rows of one device, in time order, already
// scaled. It keeps no reference to rows. The same kind, rows and options give
// the same detector, bit for bit. It uses one goroutine, and gives ctx's error
// soon after ctx ends. It refuses options out of range, fewer than MinRows
// rows (LOF: no more than its neighbours), and values that are not finite or
// beyond ±1e15.
func Train(ctx context.Context, kind Kind, rows [][zone.Features]float32, o Options) (Detector, error) {
	o = o.withDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := checkRows(rows); err != nil {
		return nil, fmt.Errorf("%s cannot learn: %w", kind, err)
	}
	d, err := train(ctx, kind, rows, o)
	if err != nil {
		return nil, fmt.Errorf("%s did not learn from %d rows: %w", kind, len(rows), err)
	}
	return d, nil
}

func train(ctx context.Context, kind Kind, rows []row, o Options) (Detector, error) {
	switch kind {
	case SVM:
		return trainSVM(ctx, thin(rows, o.MaxRows), o.SVM)
	case IForest:
		return trainForest(ctx, rows, o.Seed, o.Forest)
	case LOF:
		return trainLOF(ctx, thin(rows, o.MaxRows), o.LOF)
	case PCA:
		return trainPCA(ctx, rows, o.PCA)
	case HBOS:
		return trainHBOS(ctx, rows, o.HBOS)
	case KitNET:
		return trainKitNET(ctx, rows, o.Seed, o.KitNET)
	}
	return nil, fmt.Errorf("no such detector, want one of %q", Kinds())
}

func checkRows(rows []row) error {
	if len(rows) < MinRows {
		return fmt.Errorf("%d rows are too few, it takes %d", len(rows), MinRows)
	}
	for i := range rows {
		for c, v := range rows[i] {
			if v-v != 0 {
				return fmt.Errorf("row %d: feature %d is %v, not a finite number", i, c, v)
			}
			if v < -maxValue || v > maxValue {
				return fmt.Errorf("row %d: feature %d is %v, beyond ±%v: scale the rows first", i, c, v, float32(maxValue))
			}
		}
	}
	return nil
}

// scoreEach scores one row after the other; one that is not finite scores +Inf.
func scoreEach(rows []row, scores []float64, score func(*row) float64) {
	scores = scores[:len(rows)]
	for i := range rows {
		scores[i] = math.Inf(1)
		if finite(&rows[i]) {
			scores[i] = score(&rows[i])
		}
	}
}

// finite reports whether all of r is.
func finite(r *row) bool {
	for _, v := range r {
		if v-v != 0 {
			return false
		}
	}
	return true
}

// thin keeps limit rows at even distances in time when there are more.
func thin(rows []row, limit int) []row {
	if len(rows) <= limit {
		return rows
	}
	kept := make([]row, limit)
	for i := range kept {
		kept[i] = rows[int(int64(i)*int64(len(rows))/int64(limit))]
	}
	return kept
}
