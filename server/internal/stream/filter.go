package stream

import (
	"fmt"
	"strings"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/apierror"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Bounds of a request's filters; `ready` tells them to the client.
const (
	maxFilters      = 100
	maxFilterValues = 1000
	maxFilterTypes  = 100
)

// filtersOf checks a request's filters. No filters select everything.
func filtersOf(filters []*wabastreamv1.EventFilter) ([]eventlog.Filter, error) {
	if len(filters) > maxFilters {
		return nil, apierror.Invalid(reasonFilterInvalid, "filters", fmt.Sprintf("%d filters, at most %d are allowed", len(filters), maxFilters))
	}
	out := make([]eventlog.Filter, len(filters))
	for i, f := range filters {
		compiled, err := filterOf(fmt.Sprintf("filters[%d]", i), f)
		if err != nil {
			return nil, err
		}
		out[i] = compiled
	}
	return out, nil
}

func filterOf(field string, f *wabastreamv1.EventFilter) (eventlog.Filter, error) {
	var out eventlog.Filter
	var err error
	if out.WABAIDs, err = filterValues(field+".waba_ids", f.GetWabaIds(), maxFilterValues, wabaID); err != nil {
		return out, err
	}
	if out.Types, err = filterValues(field+".types", f.GetTypes(), maxFilterTypes, typePath); err != nil {
		return out, err
	}
	if out.BusinessPhones, err = filterValues(field+".business_phones", f.GetBusinessPhones(), maxFilterValues, businessPhone); err != nil {
		return out, err
	}
	if _, known := wabastreamv1.Severity_name[int32(f.GetMinSeverity())]; !known {
		return out, apierror.Invalid(reasonFilterInvalid, field+".min_severity", fmt.Sprintf("%d is not a severity", f.GetMinSeverity()))
	}
	out.MinSeverity = eventlog.Severity(f.GetMinSeverity())
	out.Unattributed = f.GetIncludeUnattributed()
	if len(out.WABAIDs)+len(out.Types)+len(out.BusinessPhones) == 0 && !out.Unattributed && out.MinSeverity == 0 {
		return out, apierror.Invalid(reasonFilterInvalid, field, "an empty filter; leave filters empty to receive every event")
	}
	return out, nil
}

func filterValues(field string, values []string, limit int, check func(string) (string, string)) ([]string, error) {
	if len(values) > limit {
		return nil, apierror.Invalid(reasonFilterInvalid, field, fmt.Sprintf("%d values, at most %d are allowed", len(values), limit))
	}
	var out []string
	for i, v := range values {
		value, problem := check(v)
		if problem != "" {
			return nil, apierror.Invalid(reasonFilterInvalid, fmt.Sprintf("%s[%d]", field, i), problem)
		}
		out = append(out, value)
	}
	return out, nil
}

// The checks return the value to match by, or what is wrong with it.

func wabaID(s string) (value, problem string) {
	switch {
	case s == "":
		return "", "empty; to receive events without a WABA set include_unattributed"
	case len(s) > eventlog.MaxTextBytes:
		return "", fmt.Sprintf("%d bytes, at most %d are allowed", len(s), eventlog.MaxTextBytes)
	}
	return s, ""
}

func typePath(s string) (value, problem string) {
	if len(s) > eventlog.MaxTextBytes {
		return "", fmt.Sprintf("%d bytes, at most %d are allowed", len(s), eventlog.MaxTextBytes)
	}
	for part := range strings.SplitSeq(s, ".") {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return "", fmt.Sprintf("%q is not a type path: want lower-case parts of a-z, 0-9 and _ joined by dots, for instance account_update.disabled_update", shorten(s))
		}
	}
	return s, ""
}

func businessPhone(s string) (value, problem string) {
	digits := eventlog.NormalizePhone(s)
	if digits == "" {
		return "", "empty"
	}
	if len(digits) > eventlog.MaxTextBytes {
		return "", fmt.Sprintf("%d bytes, at most %d are allowed", len(digits), eventlog.MaxTextBytes)
	}
	return digits, ""
}
