package command

import (
	"strings"

	"rsc.io/qr"
)

// quiet is how wide the empty border of a QR code is at least (ISO/IEC 18004), in
// modules.
const quiet = 4

// picture draws text as a QR code: two modules a character, light ones full, as
// on a dark terminal. In colour, it is right on any.
func picture(text string, colour bool) (string, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", err
	}
	light := func(x, y int) bool { return y < code.Size+quiet && !code.Black(x, y) } // outside, nothing is black
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		if colour {
			b.WriteString("\x1b[97;40m")
		}
		for x := -quiet; x < code.Size+quiet; x++ {
			switch {
			case light(x, y) && light(x, y+1):
				b.WriteRune('█')
			case light(x, y):
				b.WriteRune('▀')
			case light(x, y+1):
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		if colour {
			b.WriteString("\x1b[0m")
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}
