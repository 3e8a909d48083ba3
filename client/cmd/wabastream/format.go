package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	formatTable    = "table"
	formatJSON     = "json"
	formatTemplate = "template"
)

// format is how a command prints: for people, for programs, or by a template.
type format struct {
	name, text string
	template   *template.Template
}

// answer is one thing to print in any format.
type answer struct {
	// table returns lines for people, clean already.
	table func() string
	// message is what JSON is made of, by protobuf if it is of protobuf.
	message any
	// fields are what a template can name, clean already.
	fields func() any
}

func (f *format) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.name, "output", "o", "", "table, json (a line each) or template (default table on a terminal, else json)")
	flags.StringVar(&f.text, "template", "", "Go template to print each with, such as '{{.Type}} {{.WABA}}'; implies --output template; see 'wabastream help templates'")
	complete(cmd, "output", formatTable, formatJSON, formatTemplate)
	completeNothing(cmd, "template")
}

// settle gives the flags their values. The template must suit sample, which is the
// fields of an answer.
func (f *format) settle(c *console, sample any) error {
	switch {
	case f.name == "" && f.text != "":
		f.name = formatTemplate
	case f.name == "" && isTerminal(c.out):
		f.name = formatTable
	case f.name == "":
		f.name = formatJSON
	}
	if err := oneOf("output", f.name, formatTable, formatJSON, formatTemplate); err != nil {
		return err
	}
	switch {
	case f.name != formatTemplate && f.text != "":
		return usagef("--template has no effect with --output %s", f.name)
	case f.name == formatTemplate && f.text == "":
		return usagef("--output template needs a --template, such as '{{.Type}}'; see 'wabastream help templates'")
	case f.name == formatTemplate:
		return f.parse(sample)
	}
	return nil
}

// parse also finds fields that there are not: better now than at the first answer.
func (f *format) parse(sample any) error {
	parsed, err := template.New("--template").Parse(f.text)
	if err != nil {
		return usageError{err}
	}
	err = parsed.Execute(io.Discard, sample)
	if errors.As(err, new(template.ExecError)) && strings.Contains(err.Error(), "can't evaluate field") {
		return usagef("%w; 'wabastream help templates' has the fields", err)
	}
	f.template = parsed
	return nil
}

func (f *format) write(out io.Writer, a answer) error {
	switch f.name {
	case formatTable:
		_, err := io.WriteString(out, a.table())
		return err
	case formatTemplate:
		var line bytes.Buffer
		if err := f.template.Execute(&line, a.fields()); err != nil {
			return err
		}
		line.WriteByte('\n')
		_, err := out.Write(line.Bytes())
		return err
	default:
		line, err := jsonLine(a.message)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s\n", line)
		return err
	}
}

// jsonLine is JSON without line breaks or characters that drive a terminal.
func jsonLine(message any) ([]byte, error) {
	text, err := marshalJSON(message)
	if err != nil {
		return nil, err
	}
	var line bytes.Buffer
	// protojson varies its white space on purpose; lines should not.
	if err := json.Compact(&line, text); err != nil {
		return nil, err
	}
	return cleanJSON(line.Bytes()), nil
}

func marshalJSON(message any) ([]byte, error) {
	if m, ok := message.(proto.Message); ok {
		return protojson.Marshal(m)
	}
	return json.Marshal(message)
}
