package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// sheet lists figures of the product alone, some with a limit to keep.
type sheet struct {
	title    string
	findings []*finding
}

// finding is one figure, measured a number of times.
type finding struct {
	name, unit string
	values     []float64
	most       float64   // limit; zero is none
	aim        float64   // what the limit would better be; zero is none
	judged     statistic // what the limit is for
}

// statistic is what of a finding must keep to its limit.
type statistic int

const (
	theMedian statistic = iota
	theGreatest
)

// find adds a figure without a limit.
func (s *sheet) find(name, unit string) *finding {
	f := &finding{name: name, unit: unit}
	s.findings = append(s.findings, f)
	return f
}

func (f *finding) add(values ...float64) { f.values = append(f.values, values...) }

// atMost sets the figure's limit.
func (f *finding) atMost(most float64, judged statistic) *finding {
	f.most, f.judged = most, judged
	return f
}

// aimAt sets what is better than the limit.
func (f *finding) aimAt(aim float64) { f.aim = aim }

// reached says whether the limit is kept, or even the aim; empty without one.
func (f *finding) reached() string {
	if f.most == 0 {
		return ""
	}
	found := median(f.values)
	if f.judged == theGreatest {
		_, found = span(f.values)
	}
	if f.aim > 0 && found <= f.aim {
		return "aim"
	}
	return yesOrNo(found <= f.most) // no if nothing was measured
}

func (f *finding) limit() string {
	switch {
	case f.most == 0:
		return ""
	case f.judged == theGreatest:
		return "max ≤ " + figure(f.most)
	case f.aim > 0:
		return "p50 ≤ " + figure(f.most) + ", aim " + figure(f.aim)
	default:
		return "p50 ≤ " + figure(f.most)
	}
}

func yesOrNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func (s *sheet) write(out io.Writer) error {
	fmt.Fprintf(out, "\n%s\n", s.title)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tunit\tn\tp50\tp99\tmin\tmax\tlimit\treached\t")
	for _, f := range s.findings {
		low, high := span(f.values)
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t\n", f.name, f.unit, len(f.values),
			figure(median(f.values)), figure(percentile(f.values, 99)), figure(low), figure(high), f.limit(), f.reached())
	}
	return w.Flush()
}

// MarshalJSON writes every value and what is derived from them.
func (s *sheet) MarshalJSON() ([]byte, error) {
	type jsonRow struct {
		Name    string    `json:"name"`
		Unit    string    `json:"unit"`
		Median  *float64  `json:"median"`
		P99     *float64  `json:"p99"`
		Limit   string    `json:"limit,omitempty"`
		Reached string    `json:"reached,omitempty"`
		Values  []float64 `json:"values"`
	}
	rows := make([]jsonRow, len(s.findings))
	for i, f := range s.findings {
		rows[i] = jsonRow{
			Name: f.name, Unit: f.unit, Median: number(median(f.values)), P99: number(percentile(f.values, 99)),
			Limit: f.limit(), Reached: f.reached(), Values: f.values,
		}
	}
	return json.Marshal(struct {
		Title string    `json:"title"`
		Rows  []jsonRow `json:"rows"`
	}{s.title, rows})
}
