// Package feature turns packets into the 115 traffic statistics of N-BaIoT
// (Meidan et al., IEEE Pervasive Computing 17(3), 2018; the incremental
// statistics are those of Kitsune, Mirsky et al., NDSS 2018, section IV-B).
//
// An Extractor keeps decayed sums per source, host, channel and socket for
// five decay rates and gives, for every packet, what they say right after it.
// Its output depends on nothing but the packets given so far and its Limits:
// it reads no clock, and it gives the same bits on every architecture. It
// never gives a NaN or an infinity. Memory is bounded: past a limit the entry
// that was updated longest ago is forgotten.
//
// KitsunePy is the second mode: the 100 columns of the public Kitsune-py
// program with all its quirks. Its memory is not bounded, so it is for
// comparing with published results and for nothing that faces a network.
//
// The package does not scale, clip or smooth: pcc in particular is noise
// divided by noise where packet sizes are nearly constant, and whoever feeds a
// model must decide about it.
package feature

import (
	"crypto/sha256"

	"bellwether/internal/zone"
)

// Count is the number of features of one packet.
const Count = zone.Features

// Vector holds the features of one packet in the order of Names. Weights are
// packets, means and deviations bytes (seconds in the HH_jit group).
type Vector [Count]float64

// rates is the number of decay rates: 5, 3, 1, 0.1 and 0.01 per second, always
// in this order.
const rates = 5

// Where each group starts in a Vector, and how many columns it has.
const (
	atSource  = 0
	atHost    = atSource + lenSingle
	atChannel = atHost + lenSingle
	atJitter  = atChannel + lenPair
	atSocket  = atJitter + lenSingle

	lenSingle = 3 * rates
	lenPair   = 7 * rates
)

// rules is the part of the definition that the names do not say. Changing what
// a column means must change this text, and with it Digest.
const rules = `bellwether/feature/1
decay 2^(-rate*dt) of weight, sum, sum of squares; new streams weigh 1e-20
value: frame length on the wire; HH_jit: seconds since the stream's last packet, first 0
MI_dir: source MAC and address; H: source address; HH, HH_jit: address to address; HpHp: address, protocol, port to address, port
address: IP, ARP protocol address, else MAC; HpHp of ARP: MAC
variance |S2/w-mean^2|; magnitude sqrt(mean_i^2+mean_j^2); radius sqrt(variance_i^2+variance_j^2)
residual product and its weight: once for a pair's first packet, twice from then on; residuals do not decay
pcc covariance/(std_i*std_j), 0 without deviation
`

// Names gives the column names in the order of the official N-BaIoT header.
func Names() [Count]string {
	single := []string{"weight", "mean", "variance"}
	pair := []string{"weight", "mean", "std", "magnitude", "radius", "covariance", "pcc"}
	names := columns("MI_dir", single)
	names = append(names, columns("H", single)...)
	names = append(names, columns("HH", pair)...)
	names = append(names, columns("HH_jit", single)...)
	names = append(names, columns("HpHp", pair)...)
	return [Count]string(names)
}

// columns names one group: every statistic of one decay rate, then the next.
func columns(group string, statistics []string) []string {
	var names []string
	for _, rate := range [rates]string{"5", "3", "1", "0.1", "0.01"} {
		for _, s := range statistics {
			names = append(names, group+"_L"+rate+"_"+s)
		}
	}
	return names
}

// Digest identifies the definition of the features: SHA-256 over its rules and
// every column name, each name ended by a newline. A model trained under
// another digest must not judge these vectors.
func Digest() zone.Hash {
	text := []byte(rules)
	for _, n := range Names() {
		text = append(append(text, n...), '\n')
	}
	return sha256.Sum256(text)
}
