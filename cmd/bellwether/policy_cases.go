package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"bellwether/internal/policy"
)

// caseTable is a table of requests and what a policy is to say to them.
type caseTable struct {
	Members map[string]caseMember `yaml:"members"` // by name
	Cases   []policyCase          `yaml:"cases"`
}

// caseMember is what a table says of a member; the zero value of each is the
// default.
type caseMember struct {
	Role         string `yaml:"role"`
	Manufacturer string `yaml:"manufacturer"`
	Firmware     string `yaml:"firmware"` // hexadecimal
	Epoch        uint64 `yaml:"epoch"`
	Associated   uint64 `yaml:"associated"`
	Flagged      bool   `yaml:"flagged"`
}

// policyCase is one request with the decision that is wanted.
type policyCase struct {
	Name      string      `yaml:"name"` // default: the request in words
	Principal string      `yaml:"principal"`
	Action    string      `yaml:"action"`
	Resource  string      `yaml:"resource"` // a member, all, or owner/name
	Context   caseContext `yaml:"context"`
	Want      string      `yaml:"want"` // allow or deny
	By        []string    `yaml:"by"`   // the policies that decide; left out: any
}

// caseContext is a request's context.
type caseContext struct {
	Size      uint64 `yaml:"size"`
	Height    uint64 `yaml:"height"`
	Encrypted bool   `yaml:"encrypted"`
}

// readCases reads a table; what it does not know is an error with its line.
func readCases(path string) (*caseTable, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t := &caseTable{}
	if err := yaml.UnmarshalWithOptions(b, t, yaml.DisallowUnknownField()); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %s", path, yaml.FormatError(err, false, true))
	}
	for i, c := range t.Cases {
		if c.Want != "allow" && c.Want != "deny" {
			return nil, fmt.Errorf("%s: case %d wants %q: want allow or deny", path, i+1, c.Want)
		}
	}
	return t, nil
}

// request makes the request of a case.
func (t *caseTable) request(c *policyCase) (policy.Request, error) {
	who, err := t.member(c.Principal)
	if err != nil {
		return policy.Request{}, err
	}
	r := policy.Request{Principal: who, Action: c.Action, Context: policy.Context(c.Context)}
	name, object, isObject := strings.Cut(c.Resource, "/")
	if name == policy.Everyone && !isObject {
		r.Resource = policy.Group(policy.Everyone)
		return r, nil
	}
	whom, err := t.member(name)
	if err != nil {
		return policy.Request{}, err
	}
	r.Resource = whom
	if isObject {
		r.Resource = policy.Object{Owner: whom, Name: object}
	}
	return r, nil
}

func (t *caseTable) member(name string) (policy.Member, error) {
	m, ok := t.Members[name]
	if !ok {
		return policy.Member{}, fmt.Errorf("there is no member %q: name it under members, {role: …}", name)
	}
	return policy.Member{ID: name, Role: m.Role, Manufacturer: m.Manufacturer, Firmware: m.Firmware, Epoch: m.Epoch, Associated: m.Associated, Flagged: m.Flagged}, nil
}

// caseResult is a case as it was decided.
type caseResult struct {
	Name string `json:"name"`
	Want string `json:"want"`
	policy.Decision
	OK bool `json:"ok"`
}

// run decides every case and prints those that come out otherwise than wanted.
func (t *caseTable) run(w io.Writer, set *policy.Set, path string, asJSON bool) error {
	results := []caseResult{}
	failed := 0
	for i := range t.Cases {
		c := &t.Cases[i]
		r, err := t.request(c)
		if err != nil {
			return fmt.Errorf("%s: case %d: %w", path, i+1, err)
		}
		result := c.judge(set.Decide(r))
		if !result.OK {
			failed++
		}
		results = append(results, result)
	}
	if asJSON {
		if err := printJSON(w, results); err != nil {
			return err
		}
	} else {
		for i, r := range results {
			if !r.OK {
				fmt.Fprintf(w, "case %d, %s: wanted %s, got %s\n", i+1, r.Name, t.Cases[i].wanted(), decided(r.Decision))
			}
		}
		fmt.Fprintf(w, "%s: %d of %d cases are decided as wanted\n", path, len(results)-failed, len(results))
	}
	switch {
	case len(results) == 0:
		return fmt.Errorf("%s has no cases: nothing was tested", path)
	case failed > 0:
		return fmt.Errorf("%s: %d cases are decided otherwise than wanted", path, failed)
	}
	return nil
}

func (c *policyCase) judge(d policy.Decision) caseResult {
	name := c.Name
	if name == "" {
		name = strings.Join([]string{c.Principal, c.Action, c.Resource}, " ")
	}
	by := slices.Clone(c.By)
	slices.Sort(by)
	return caseResult{Name: name, Want: c.Want, Decision: d,
		OK: d.Allowed == (c.Want == "allow") && (c.By == nil || slices.Equal(by, d.Reasons))}
}

func (c *policyCase) wanted() string {
	if c.By == nil {
		return c.Want
	}
	return c.Want + " by " + strings.Join(c.By, ", ")
}

func decided(d policy.Decision) string {
	answer := "deny"
	if d.Allowed {
		answer = "allow"
	}
	switch {
	case len(d.Errors) > 0:
		return answer + ": " + strings.Join(d.Errors, "; ")
	case len(d.Reasons) == 0:
		return answer + ", since nothing permits it"
	}
	return answer + " by " + strings.Join(d.Reasons, ", ")
}
