package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagError is a usage error in plain words: for a value that does not parse, the
// library's own are those of the parser.
func flagError(err error) error {
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return usageError{err}
	}
	want := "a value of another form"
	switch invalid.GetFlag().Value.Type() {
	case "bool":
		want = "true or false"
	case "uint64":
		want = "a whole number"
	case "duration":
		want = "a duration, such as 30s"
	case "stringSlice":
		want = "values with commas between them"
	}
	return usagef("--%s %q: want %s", invalid.GetFlag().Name, invalid.GetValue(), want)
}

// oneOf checks a flag that takes a word of a list.
func oneOf(flag, value string, words ...string) error {
	if slices.Contains(words, value) {
		return nil
	}
	last := len(words) - 1
	return usagef("--%s %q: want %s or %s", flag, value, strings.Join(words[:last], ", "), words[last])
}

// refuseEmpty checks that flags which were given have a value: what a script
// fails to fill in, such as a lost cursor, must not turn into "latest" or "all".
func refuseEmpty(flags *pflag.FlagSet, names ...string) error {
	for _, name := range names {
		if flag := flags.Lookup(name); flag.Changed && isEmpty(flag.Value) {
			return usagef("--%s is empty: give it a value or leave it out", name)
		}
	}
	return nil
}

func isEmpty(value pflag.Value) bool {
	if list, ok := value.(pflag.SliceValue); ok {
		return !slices.ContainsFunc(list.GetSlice(), func(s string) bool { return s != "" })
	}
	return value.String() == ""
}

// complete offers words for a flag, and never the names of files. It panics only
// for a flag that does not exist, which is a mistake in this program.
func complete(cmd *cobra.Command, flag string, words ...cobra.Completion) {
	completeBy(cmd, flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// completeBy offers what a function finds.
func completeBy(cmd *cobra.Command, flag string, words cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, words); err != nil {
		panic(err)
	}
}

// completeNothing keeps the names of files from flags whose values nobody knows.
func completeNothing(cmd *cobra.Command, flags ...string) {
	for _, flag := range flags {
		complete(cmd, flag)
	}
}
