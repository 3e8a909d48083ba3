package main

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// filters are which events a command is about, and whether it is to show them as the
// provider sent them.
type filters struct {
	wabas, types, phones []string
	minSeverity          string
	unattributed         bool
	raw                  bool
}

func (f *filters) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.wabas, "waba", nil, "only this account (WABA ID); repeat for several")
	flags.StringSliceVar(&f.types, "type", nil, "only this type and everything below it, such as account_update; repeat for several")
	flags.StringSliceVar(&f.phones, "phone", nil, "only this business phone number; repeat for several")
	flags.StringVar(&f.minSeverity, "min-severity", "", "only events at least this urgent: info, warning or critical")
	flags.BoolVar(&f.unattributed, "unattributed", false, "with --waba: also events whose account is not known; alone: only those")
	addRawFlag(cmd, &f.raw)
	complete(cmd, "type", knownTypes()...)
	complete(cmd, "min-severity", "info", "warning", "critical")
	completeNothing(cmd, "waba", "phone")
}

func addRawFlag(cmd *cobra.Command, raw *bool) {
	cmd.Flags().BoolVar(raw, "raw", false, "also show the callback as the provider sent it; it may hold personal data")
}

// filter is nil when every event is wanted. Its errors are usage errors.
func (f *filters) filter() ([]*wabastreamv1.EventFilter, error) {
	severity, err := parseSeverity(f.minSeverity)
	if err != nil {
		return nil, err
	}
	if err := checkTypes(f.types); err != nil {
		return nil, err
	}
	if err := checkPhones(f.phones); err != nil {
		return nil, err
	}
	everything := len(f.wabas) == 0 && len(f.types) == 0 && len(f.phones) == 0 && f.minSeverity == "" && !f.unattributed
	if everything {
		return nil, nil
	}
	return []*wabastreamv1.EventFilter{{
		WabaIds:             f.wabas,
		Types:               f.types,
		BusinessPhones:      f.phones,
		MinSeverity:         severity,
		IncludeUnattributed: f.unattributed,
	}}, nil
}

func checkTypes(types []string) error {
	path := regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)*$`)
	for _, t := range types {
		if !path.MatchString(t) {
			return usagef("--type %q: want lower-case words with dots between them, such as account_update or account_update.disabled_update", t)
		}
	}
	return nil
}

func checkPhones(phones []string) error {
	for _, phone := range phones {
		if !strings.ContainsAny(phone, "0123456789") {
			return usagef("--phone %q: want a phone number, such as 15550001111", phone)
		}
	}
	return nil
}

func parseSeverity(word string) (wabastreamv1.Severity, error) {
	switch strings.ToLower(word) {
	case "":
		return wabastreamv1.Severity_SEVERITY_UNSPECIFIED, nil
	case "info":
		return wabastreamv1.Severity_SEVERITY_INFO, nil
	case "warning":
		return wabastreamv1.Severity_SEVERITY_WARNING, nil
	case "critical":
		return wabastreamv1.Severity_SEVERITY_CRITICAL, nil
	default:
		return 0, usagef("--min-severity %q: want info, warning or critical", word)
	}
}
