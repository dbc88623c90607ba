package baseline

import "fmt"

// Options of a training. A zero field stands for its default.
type Options struct {
	// Seed of the forest's trees and of KitNET's weights; the other kinds draw
	// nothing. 0 is a seed like any other.
	Seed uint64
	// MaxRows is the most rows that SVM and LOF learn from, whose time and
	// memory grow with the square; more are thinned evenly over time. 0 is
	// 10,000, at most 50,000.
	MaxRows int

	SVM    SVMOptions
	Forest ForestOptions
	LOF    LOFOptions
	PCA    PCAOptions
	HBOS   HBOSOptions
	KitNET KitNETOptions
}

// SVMOptions are those of the one-class SVM; defaults are scikit-learn's.
type SVMOptions struct {
	// Nu bounds the share of rows outside from above and that of support
	// vectors from below, above 0, at most 1; 0 is 0.5.
	Nu float64
	// Gamma of the kernel exp(−γ·d²); 0 is 1 / (115 · variance of all values).
	Gamma float64
	// Tolerance is the largest violation of the optimality conditions at which
	// the solver stops, above 0, at most 1; 0 is 0.001.
	Tolerance float64
	// CacheMB bounds the memory for columns of the kernel matrix, in MiB, 0 is
	// 200, at most 4,096. It changes speed, never the result.
	CacheMB int
}

// ForestOptions are those of the isolation forest; defaults are the paper's.
type ForestOptions struct {
	Trees int // 0 is 100, at most 10,000
	// Samples is how many rows each tree is grown from, 0 is 256, at least 2, at
	// most 16,384; never more than there are.
	Samples int
}

// LOFOptions are those of the local outlier factor.
type LOFOptions struct {
	// Neighbours of a row, 0 is scikit-learn's 20, at most 256.
	Neighbours int
}

// PCAOptions are those of the principal components.
type PCAOptions struct {
	// Variance is the share of variance that the components kept explain
	// together, between 0 and 1; 0 is 0.95. At least one is kept.
	Variance float64
	// Mahalanobis makes the score the squared Mahalanobis distance under the
	// covariance of probabilistic PCA (Tipping and Bishop 1999), instead of the
	// mean squared reconstruction error.
	Mahalanobis bool
}

// HBOSOptions are those of the histograms.
type HBOSOptions struct {
	// Bins of equal width for each feature, 0 is the square root of the number
	// of rows, rounded up; at most 10,000.
	Bins int
}

// KitNETOptions are those of KitNET; defaults are the paper's.
type KitNETOptions struct {
	// GroupSize is the most features of one autoencoder, 0 is 10, at most 115.
	GroupSize int
	// Hidden is the share of hidden neurons, above 0, at most 1; 0 is 0.75.
	Hidden float64
	// LearningRate of the gradient descent, above 0, at most 1; 0 is 0.1.
	LearningRate float64
	// MapRows is how many of the first rows only group the features; 0 is a
	// tenth of all, but at least 10. Half of all is the most that are taken.
	MapRows int
}

// Validate says what is wrong with o, if anything is.
func (o Options) Validate() error {
	o = o.withDefaults()
	within := func(v, lo, hi int) bool { return v >= lo && v <= hi }
	share := func(v float64) bool { return v > 0 && v <= 1 }
	for _, c := range []struct {
		ok   bool
		name string
		got  any
		want string
	}{
		{within(o.MaxRows, MinRows, 50_000), "most rows", o.MaxRows, "20 to 50000"},
		{share(o.SVM.Nu), "svm nu", o.SVM.Nu, "above 0, at most 1"},
		{o.SVM.Gamma >= 0 && o.SVM.Gamma <= 1e9, "svm gamma", o.SVM.Gamma, "0 to 1e9"},
		{share(o.SVM.Tolerance), "svm tolerance", o.SVM.Tolerance, "above 0, at most 1"},
		{within(o.SVM.CacheMB, 1, 4096), "svm cache", o.SVM.CacheMB, "1 to 4096 MiB"},
		{within(o.Forest.Trees, 1, 10_000), "trees", o.Forest.Trees, "1 to 10000"},
		{within(o.Forest.Samples, 2, maxSamples), "samples of a tree", o.Forest.Samples, "2 to 16384"},
		{within(o.LOF.Neighbours, 1, maxNeighbours), "neighbours", o.LOF.Neighbours, "1 to 256"},
		{o.PCA.Variance > 0 && o.PCA.Variance < 1, "pca variance", o.PCA.Variance, "between 0 and 1"},
		{within(o.HBOS.Bins, 0, 10_000), "bins", o.HBOS.Bins, "0 to 10000"},
		{within(o.KitNET.GroupSize, 1, len(row{})), "kitnet group size", o.KitNET.GroupSize, "1 to 115"},
		{share(o.KitNET.Hidden), "kitnet hidden share", o.KitNET.Hidden, "above 0, at most 1"},
		{share(o.KitNET.LearningRate), "kitnet learning rate", o.KitNET.LearningRate, "above 0, at most 1"},
		{o.KitNET.MapRows >= 0, "kitnet map rows", o.KitNET.MapRows, "at least 0"},
	} {
		if !c.ok {
			return fmt.Errorf("baseline option: %s is %v, want %s", c.name, c.got, c.want)
		}
	}
	return nil
}

func (o Options) withDefaults() Options {
	orElse(&o.MaxRows, 10_000)
	orElse(&o.SVM.Nu, 0.5)
	orElse(&o.SVM.Tolerance, 1e-3)
	orElse(&o.SVM.CacheMB, 200)
	orElse(&o.Forest.Trees, 100)
	orElse(&o.Forest.Samples, 256)
	orElse(&o.LOF.Neighbours, 20)
	orElse(&o.PCA.Variance, 0.95)
	orElse(&o.KitNET.GroupSize, 10)
	orElse(&o.KitNET.Hidden, 0.75)
	orElse(&o.KitNET.LearningRate, 0.1)
	return o
}

func orElse[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
