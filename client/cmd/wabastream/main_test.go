package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"wabastream": main})
}

// leakChecked fails a run that left goroutines behind.
type leakChecked struct{ tests *testing.M }

func (l leakChecked) Run() int {
	if code := l.tests.Run(); code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// outcome is what a command did in this process.
type outcome struct {
	out, err string
	failure  error
}

// execute runs a command line in this process, with the environment given.
func execute(ctx context.Context, env map[string]string, args ...string) outcome {
	var out, errs bytes.Buffer
	root := newRootCommand(&console{
		in: bytes.NewReader(nil), out: &out, err: &errs,
		env:       func(name string) string { return env[name] },
		configDir: func() (string, error) { return "", errors.New("no home") },
	})
	root.SetArgs(args)
	failure := root.ExecuteContext(ctx)
	return outcome{out: out.String(), err: errs.String(), failure: failure}
}
