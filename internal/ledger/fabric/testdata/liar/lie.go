// Package lie is put into a copy of Hyperledger Fabric's source, of which the
// tests build an orderer that lies when it is told to.
package lie

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// Told reports whether the file "lie" in the working directory names this lie.
// Each time that it does is noted in the file "lies".
func Told(what string) bool {
	raw, err := os.ReadFile("lie")
	if err != nil || strings.TrimSpace(string(raw)) != what {
		return false
	}
	f, err := os.OpenFile("lies", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err) // a lie that nobody knows of is no test
	}
	defer f.Close()
	fmt.Fprintln(f, what)
	return true
}

// Changed gives a copy of a block's data whose first transaction is another one.
func Changed(data [][]byte) [][]byte {
	changed := append([][]byte{bytes.Clone(data[0])}, data[1:]...)
	changed[0][len(changed[0])/2] ^= 1
	return changed
}
