package gateway

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"

	"bellwether/internal/capture"
	"bellwether/internal/zone"
)

// recordings reads several captures as one, in order of time. A file is opened
// when its first frame is due.
type recordings struct {
	paths  []string
	starts []zone.Time
	next   int
	open   openFiles
	last   *openFile // gave the newest frame, not yet advanced

	sizes    []int64
	spans    [][2]zone.Time // first and last time of each file that was opened
	finished int64          // bytes of files read to their end
	damage   []error
	skipped  uint64
}

type openFile struct {
	file  *capture.File
	frame capture.Frame
	order int // among paths: decides between equal times
}

// openRecordings checks that each capture can be opened and has a frame.
func openRecordings(paths []string) (*recordings, error) {
	r := &recordings{paths: paths, spans: make([][2]zone.Time, len(paths))}
	for _, p := range paths {
		f, err := capture.Open(p)
		if err != nil {
			return nil, err
		}
		var fr capture.Frame
		err = f.Next(&fr)
		r.sizes = append(r.sizes, f.Size())
		r.starts = append(r.starts, fr.Time)
		f.Close()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s holds no packets", p)
		}
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// each hands every frame to f, in order of time, until f fails or ctx ends. A
// file that turns out to be damaged is read as far as it goes.
func (r *recordings) each(ctx context.Context, f func(*capture.Frame) error) error {
	defer r.close()
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		fr, err := r.frame()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(fr); err != nil {
			return err
		}
	}
}

// frame gives the oldest frame that was not given yet.
func (r *recordings) frame() (*capture.Frame, error) {
	if r.last != nil {
		of := r.last
		r.last = nil
		if err := r.advance(of); err != nil {
			return nil, err
		}
	}
	for r.next < len(r.paths) && (len(r.open) == 0 || r.starts[r.next] <= r.open[0].frame.Time) {
		file, err := capture.Open(r.paths[r.next])
		if err != nil {
			return nil, err
		}
		r.next++
		if err := r.advance(&openFile{file: file, order: r.next - 1}); err != nil {
			return nil, err
		}
	}
	if len(r.open) == 0 {
		return nil, io.EOF
	}
	r.last = heap.Pop(&r.open).(*openFile)
	return &r.last.frame, nil
}

// advance reads a file's next frame and puts the file back among the open
// ones, or closes it at its end.
func (r *recordings) advance(of *openFile) error {
	err := of.file.Next(&of.frame)
	if err == nil {
		span := &r.spans[of.order]
		if span[0] == 0 {
			span[0] = of.frame.Time
		}
		span[1] = max(span[1], of.frame.Time)
		heap.Push(&r.open, of)
		return nil
	}
	r.finished += r.sizes[of.order]
	r.skipped += of.file.Skipped()
	var damaged *capture.DamageError
	switch {
	case errors.As(err, &damaged):
		r.damage = append(r.damage, err)
	case !errors.Is(err, io.EOF):
		return errors.Join(err, of.file.Close())
	}
	return of.file.Close()
}

func (r *recordings) close() {
	for _, of := range r.open {
		of.file.Close()
	}
	if r.last != nil {
		r.last.file.Close()
	}
}

// read is the number of bytes read so far, total that of all files.
func (r *recordings) read() (done, total int64) {
	done = r.finished
	for _, of := range r.open {
		done += of.file.Offset()
	}
	if r.last != nil {
		done += r.last.file.Offset()
	}
	for _, s := range r.sizes {
		total += s
	}
	return done, total
}

// seconds is the time that the files span together, gaps between them left
// out. The files are in order of their starts.
func (r *recordings) seconds() float64 {
	var sum float64
	var end zone.Time
	for _, s := range r.spans {
		from := max(s[0], end)
		if s[1] > from {
			sum += s[1].Sub(from).Seconds()
		}
		end = max(end, s[1])
	}
	return sum
}

// openFiles is a heap by the time of each file's next frame.
type openFiles []*openFile

func (h openFiles) Len() int { return len(h) }
func (h openFiles) Less(i, j int) bool {
	if h[i].frame.Time != h[j].frame.Time {
		return h[i].frame.Time < h[j].frame.Time
	}
	return h[i].order < h[j].order
}
func (h openFiles) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *openFiles) Push(x any)   { *h = append(*h, x.(*openFile)) }
func (h *openFiles) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
