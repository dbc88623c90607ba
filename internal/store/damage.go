package store

import (
	"fmt"
	"slices"

	"bellwether/internal/zone"

	"github.com/parquet-go/parquet-go/format"
)

// maxListed bounds how many rows are named one by one in one file.
const maxListed = 20

// damaged says where a file differs from what was written, and what that does
// to its rows. Nothing in b can be trusted.
func (v *verifier) damaged(f *filed, seg *Segment, b []byte) {
	if int64(len(b)) != seg.Bytes {
		v.found(Finding{seg.Number, seg.File, 0, min(int64(len(b)), seg.Bytes), fmt.Sprintf("it has %d bytes, %d were written", len(b), seg.Bytes)})
	}
	meta, _, _ := footer(b)
	for _, sp := range changedBlocks(b, f.Blocks, seg.Bytes) {
		v.found(Finding{seg.Number, seg.File, 0, sp.from, fmt.Sprintf("bytes %d to %d are not as written: %s", sp.from, sp.end-1, whatLies(meta, sp))})
	}
	c, err := decode(b, v.store.cols)
	if err != nil {
		v.found(Finding{seg.Number, seg.File, 0, -1, fmt.Sprintf("none of SEQ %d to %d can be read: %v%s", seg.First, seg.Last, err, author(meta))})
		return
	}
	v.flaws(seg, c)
	if len(c.rows) != int(seg.Last-seg.First)+1 {
		v.found(Finding{seg.Number, seg.File, 0, -1, fmt.Sprintf("it has %d rows, want SEQ %d to %d", len(c.rows), seg.First, seg.Last)})
	}
	if v.rows(seg, c) || len(c.flaws) > 0 {
		return
	}
	if !v.rangesOf(seg, c) {
		v.found(Finding{seg.Number, seg.File, 0, -1, "every row is as it was; only bytes beside the rows differ" + author(meta)})
	}
}

// author names the program that wrote the file if that was another one.
func author(meta *format.FileMetaData) string {
	if meta == nil || meta.CreatedBy == createdBy {
		return ""
	}
	return fmt.Sprintf("; the file says that it was written by %q", meta.CreatedBy)
}

// flaws reports the pages that cannot be read.
func (v *verifier) flaws(seg *Segment, c *content) {
	for i := range c.flaws {
		f := &c.flaws[i]
		first := seg.First + zone.SeqID(f.first)
		v.found(Finding{seg.Number, seg.File, first, f.offset, fmt.Sprintf("SEQ %d to %d lack column %s: %s", first, seg.First+zone.SeqID(f.end)-1, f.column, f.reason)})
	}
}

// rows reports rows that can be read whole and are wrong.
func (v *verifier) rows(seg *Segment, c *content) bool {
	wrong := 0
	for i := range c.rows {
		seq := seg.First + zone.SeqID(i)
		if !c.whole[i] {
			continue
		}
		reason := c.rows[i].wrong(seq)
		if reason == "" {
			continue
		}
		if wrong++; wrong <= maxListed {
			v.found(Finding{seg.Number, seg.File, seq, -1, fmt.Sprintf("row %d: %s", i, reason)})
		}
	}
	if wrong > maxListed {
		v.found(Finding{seg.Number, seg.File, 0, -1, fmt.Sprintf("%d further rows do not match their hashes", wrong-maxListed)})
	}
	return wrong > 0
}

// rangesOf reports devices whose rows are not those that were stored, although
// each matches the hash beside it.
func (v *verifier) rangesOf(seg *Segment, c *content) bool {
	got := summarise(c.rows)
	bad := false
	for _, want := range seg.Ranges {
		i := slices.IndexFunc(got, func(r Range) bool { return r.Device == want.Device })
		if i >= 0 && got[i] == want {
			continue
		}
		bad = true
		v.found(Finding{seg.Number, seg.File, want.First, -1, fmt.Sprintf("the rows of device %s between SEQ %d and %d were changed together with their hashes: their root is not %s", want.Device, want.First, want.Last, want.Root)})
	}
	if !bad && len(got) != len(seg.Ranges) {
		bad = true
		v.found(Finding{seg.Number, seg.File, 0, -1, fmt.Sprintf("it has rows of %d devices, want %d", len(got), len(seg.Ranges))})
	}
	return bad
}

// whatLies names what a file has within a span.
func whatLies(meta *format.FileMetaData, sp span) string {
	if meta == nil {
		return "the file's metadata cannot be read to say more"
	}
	var first, last string
	end := int64(0)
	for _, g := range meta.RowGroups {
		for i := range g.Columns {
			m := &g.Columns[i].MetaData
			from, to := chunkSpan(m)
			end = max(end, to)
			if from < sp.end && to > sp.from && len(m.PathInSchema) == 1 {
				if last = m.PathInSchema[0]; first == "" {
					first = last
				}
			}
		}
	}
	switch {
	case first == "" && sp.from >= end:
		return "the index or the metadata at the file's end"
	case first == "":
		return "nothing that belongs to a column"
	case first == last:
		return "column " + first
	}
	return "columns " + first + " to " + last
}

// chunkSpan gives where a column chunk says that it lies.
func chunkSpan(m *format.ColumnMetaData) (from, end int64) {
	from = m.DataPageOffset
	if m.DictionaryPageOffset > 0 && m.DictionaryPageOffset < from {
		from = m.DictionaryPageOffset
	}
	return from, from + m.TotalCompressedSize
}
