package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bellwether/internal/durable"
	"bellwether/internal/gateway"
	"bellwether/internal/ledger"
	"bellwether/internal/ledger/fabric/evidence"
	"bellwether/internal/proof"
	"bellwether/internal/zone"
)

func fabricProveCommand() *cobra.Command {
	var dir, bundle, out string
	var block int64
	c := &cobra.Command{
		Use: "prove --state DIR (--bundle FILE | --block N) -o FILE", Short: "Write what shows a stranger that blocks stand on a Fabric channel",
		Long: `Gets from the channel, for every block that a proof of an alert rests on, or for one block:
the block of Fabric with its orderers' signatures and the endorsements in it, and a peer's
signed word that it is valid. 'bellwether fabric verify' checks that without a network.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (bundle == "") == (block < 0) {
				return usageError{errors.New("fabric prove: give --bundle FILE or --block N")}
			}
			blocks := []uint64{uint64(max(0, block))}
			if bundle != "" {
				headers, err := headersOf(bundle)
				if err != nil {
					return err
				}
				blocks = slices.Sorted(maps.Keys(headers))
			}
			all, err := gateway.FabricEvidence(cmd.Context(), dir, blocks, 30*time.Second)
			if err != nil {
				return err
			}
			return durable.WriteFile(out, evidence.MarshalAll(all), 0o644)
		},
	}
	stateFlag(c, &dir)
	c.Flags().StringVar(&bundle, "bundle", "", "proof of an alert, as `bellwether prove` writes it")
	c.Flags().Int64Var(&block, "block", -1, "number of a block of the zone")
	c.Flags().StringVarP(&out, "out", "o", "", "file to write")
	c.MarkFlagRequired("out")
	return c
}

// headersOf reads which blocks a bundle rests on.
func headersOf(path string) (map[uint64]*ledger.Header, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := proof.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	headers, err := b.Headers()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return headers, nil
}

func fabricVerifyCommand() *cobra.Command {
	var channel, bundle string
	c := &cobra.Command{
		Use: "verify FILE --channel BLOCK", Short: "Check evidence from a Fabric channel, offline",
		Long: `Checks what 'bellwether fabric prove' wrote, with nothing but this program and the channel's
configuration block, which says who orders and who endorses: that the orderers signed each
block of Fabric, that peers of more than half of the organisations endorsed the block of the
zone in it, and that a peer says it is valid. With --bundle, that every block which a
proof of an alert rests on is among them; the proof itself is checked by 'bellwether verify'.

Compare the configuration's digest with one that somebody you trust gives you.`,
		Args: exactly(1, "one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return fabricVerify(cmd.Context(), cmd.OutOrStdout(), args[0], channel, bundle)
		},
	}
	c.Flags().StringVar(&channel, "channel", "", "the channel's configuration block: genesis.block of `fabric up`, or by `peer channel fetch config`")
	c.MarkFlagRequired("channel")
	c.Flags().StringVar(&bundle, "bundle", "", "proof of an alert whose blocks have to be there")
	return c
}

func fabricVerify(ctx context.Context, w io.Writer, path, channel, bundle string) error {
	raw, err := os.ReadFile(channel)
	if err != nil {
		return err
	}
	c, err := evidence.ParseChannel(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", channel, err)
	}
	if raw, err = os.ReadFile(path); err != nil {
		return err
	}
	all, err := evidence.ParseAll(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	fmt.Fprintf(w, "channel %s, %s, configuration %s\n", c.Name, c.Type, c.Digest)
	shown := map[uint64]zone.Hash{}
	for i, e := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, err := e.Verify(c)
		if err != nil {
			return fmt.Errorf("%s, entry %d, block %d of Fabric: %w", path, i, e.Number, err)
		}
		h := &s.Block.Header
		shown[h.Number] = h.Hash()
		fmt.Fprintf(w, "ok   block %d of zone %s, %s\n     in block %d of Fabric, signed by %s\n     endorsed by %s; a peer of %s says that it is valid\n",
			h.Number, h.Zone.Short(), h.Hash(), s.Number, strings.Join(s.Orderers, ", "), strings.Join(s.Endorsers, ", "), s.Answered)
	}
	if bundle == "" {
		return nil
	}
	headers, err := headersOf(bundle)
	if err != nil {
		return err
	}
	for n, h := range headers {
		if hash, ok := shown[n]; !ok || hash != h.Hash() {
			return fmt.Errorf("%s rests on block %d with hash %s, which is not among those of %s", bundle, n, h.Hash(), path)
		}
	}
	_, err = fmt.Fprintf(w, "ok   all %d blocks that %s rests on are among them\n", len(headers), bundle)
	return err
}
