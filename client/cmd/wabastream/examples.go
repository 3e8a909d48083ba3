package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wabastream/wabastream/client/callbacks"
)

// edits are changes to the built-in examples. Their text stays as it is
// otherwise.
type edits struct {
	waba, phone string
	now         bool
}

// flag names one of the flags that ask for a change; empty without any.
func (e *edits) flag() string {
	switch {
	case e.waba != "":
		return "--waba"
	case e.phone != "":
		return "--phone"
	case e.now:
		return "--now"
	default:
		return ""
	}
}

// chooser finds the callbacks that the arguments of send name.
type chooser struct {
	stdin    io.Reader
	builtins []callbacks.Callback
	// onlyExamples is the flag that only the examples can follow, if one was given.
	onlyExamples string
}

// choose returns all examples when nothing is named.
func (c *chooser) choose(args []string) ([]callbacks.Callback, error) {
	if len(args) == 0 {
		return c.builtins, nil
	}
	var chosen []callbacks.Callback
	for i, arg := range args {
		if arg == "-" && slices.Contains(args[:i], "-") {
			return nil, usagef("standard input (-) can be sent only once")
		}
		found, err := c.find(arg)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, found...)
	}
	return chosen, nil
}

func (c *chooser) find(arg string) ([]callbacks.Callback, error) {
	if arg == "-" {
		if err := c.refuseEdits("standard input"); err != nil {
			return nil, err
		}
		body, err := io.ReadAll(c.stdin)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return []callbacks.Callback{{Name: "standard input", Body: body}}, nil
	}
	if found := c.named(arg); len(found) > 0 {
		return found, nil
	}
	body, err := os.ReadFile(arg) //nolint:gosec // whoever runs the command names it
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("%q is neither an example nor a file; --list prints the examples", arg)
	}
	if err != nil {
		return nil, fmt.Errorf("read callback: %w", err)
	}
	if err := c.refuseEdits(arg); err != nil {
		return nil, err
	}
	return []callbacks.Callback{{Name: arg, Body: body}}, nil
}

func (c *chooser) refuseEdits(file string) error {
	if c.onlyExamples == "" {
		return nil
	}
	return usagef("%s has no effect on %s: only the built-in examples are changed", c.onlyExamples, file)
}

// named returns the example of that name, or else every one that begins so.
func (c *chooser) named(name string) []callbacks.Callback {
	var found []callbacks.Callback
	for _, example := range c.builtins {
		if example.Name == name {
			return []callbacks.Callback{example}
		}
		if name != "" && strings.HasPrefix(example.Name, name) {
			found = append(found, example)
		}
	}
	return found
}

// apply edits one example's text.
func (e *edits) apply(body []byte, now time.Time) []byte {
	if e.waba != "" {
		body = replaceMasked(body, `wabaId|waba_id`, e.waba)
	}
	if e.phone != "" {
		body = replaceMasked(body, `business_phone|phone_number|display_phone_number`, e.phone)
	}
	if e.now {
		times := regexp.MustCompile(`("(?:time|timestamp)"\s*:\s*)\d+`)
		body = times.ReplaceAll(body, []byte("${1}"+strconv.FormatInt(now.Unix(), 10)))
	}
	return body
}

// replaceMasked puts a value where the provider's page has "xxx".
func replaceMasked(body []byte, members, value string) []byte {
	quoted, err := json.Marshal(value)
	if err != nil {
		panic(err) // a string always marshals
	}
	masked := regexp.MustCompile(`("(?:` + members + `)"\s*:\s*)"xxx"`)
	return masked.ReplaceAllFunc(body, func(match []byte) []byte {
		return append(match[:len(match)-len(`"xxx"`):len(match)-len(`"xxx"`)], quoted...)
	})
}
