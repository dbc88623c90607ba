package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// bar draws one line of progress on a terminal, and nothing elsewhere.
type bar struct {
	w     io.Writer
	on    bool
	stage string
	began time.Time
	drawn time.Time
	width int // of the line that stands there now
}

func newBar() *bar {
	return &bar{w: os.Stderr, on: term.IsTerminal(int(os.Stderr.Fd()))}
}

// draw shows how far a stage is, at most ten times a second.
func (b *bar) draw(stage string, done, total int64) {
	now := time.Now()
	if stage != b.stage {
		b.stage, b.began = stage, now
	}
	if !b.on || done < total && now.Sub(b.drawn) < 100*time.Millisecond {
		return
	}
	b.drawn = now
	share := 1.0
	if total > 0 {
		share = min(1, float64(done)/float64(total))
	}
	left := ""
	if took := now.Sub(b.began); share > 0.02 && share < 1 {
		left = fmt.Sprintf(", %s left", time.Duration(float64(took)*(1-share)/share).Round(time.Second))
	}
	full := int(share * 30)
	b.line(fmt.Sprintf("%-9s [%s%s] %3.0f %%%s", stage, strings.Repeat("#", full), strings.Repeat(".", 30-full), 100*share, left))
	if share == 1 {
		fmt.Fprintln(b.w)
		b.width = 0
	}
}

func (b *bar) line(s string) {
	fmt.Fprintf(b.w, "\r%s%s", s, strings.Repeat(" ", max(0, b.width-len(s))))
	b.width = len(s)
}

// clear takes the line away, so that something else can be written.
func (b *bar) clear() {
	if b.on && b.width > 0 {
		b.line("")
		fmt.Fprint(b.w, "\r")
		b.width = 0
	}
}
