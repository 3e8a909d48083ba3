package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// table holds what one benchmark found in one setting.
type table struct {
	title string
	unit  string
	// less says that smaller figures are better. Ratios are turned round then, so
	// that more is better in every ratio.
	less bool
	// reference is the row that others are divided by; subject is divided by the
	// others.
	reference, subject string
	// goals are for the ratios of the subject to others, by their names; most is
	// for the subject's own median, zero for none.
	goals map[string]goal
	most  float64
	rows  []*row
}

// row holds one contender's figures, one a round.
type row struct {
	name   string
	values []float64
	cpu    []float64 // microseconds an operation, client included; may be empty
	server []float64 // what the server's process used of it; may be empty
}

func newTable(title, unit, reference string, names []string) *table {
	t := &table{title: title, unit: unit, reference: reference, subject: ours}
	for _, name := range names {
		t.rows = append(t.rows, &row{name: name})
	}
	return t
}

// lessIsBetter is for times and sizes.
func (t *table) lessIsBetter() *table {
	t.less = true
	return t
}

// wants sets the goals.
func (t *table) wants(goals map[string]goal) *table {
	t.goals = goals
	return t
}

// atMost sets the limit of the subject's median.
func (t *table) atMost(most float64) *table {
	t.most = most
	return t
}

// of is a view of the same rows with another subject.
func (t *table) of(subject string) *table {
	view := *t
	view.title, view.subject = t.title+": "+subject, subject
	return &view
}

// row returns the row of a name, or nil.
func (t *table) row(name string) *row {
	for _, r := range t.rows {
		if r.name == name {
			return r
		}
	}
	return nil
}

func (t *table) add(name string, value float64) {
	r := t.row(name)
	r.values = append(r.values, value)
}

// ratio says how many times better one row is than another; NaN if either was
// not measured.
func (t *table) ratio(of, than *row) float64 {
	if of == nil || than == nil {
		return math.NaN()
	}
	if t.less {
		of, than = than, of
	}
	return medianRatio(of.values, than.values)
}

func (t *table) write(out io.Writer) error {
	fmt.Fprintf(out, "\n%s (%s)\n", t.title, t.unit)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	toReference, ofSubject := "÷ "+t.reference, t.subject+" ÷ it"
	if t.less {
		toReference, ofSubject = t.reference+" ÷ it", "it ÷ "+t.subject
	}
	t.writeLine(w, append([]string{"", "median", "min", "max", "CPU µs each", "of it server", toReference, ofSubject}, t.goalTitles()...))
	for _, r := range t.rows {
		low, high := span(r.values)
		cells := []string{
			r.name, figure(median(r.values)), figure(low), figure(high), figure(median(r.cpu)), figure(median(r.server)),
			figure(t.ratio(r, t.row(t.reference))), figure(t.ratio(t.row(t.subject), r)),
		}
		t.writeLine(w, append(cells, t.goalCells(r)...))
	}
	return w.Flush()
}

func (t *table) hasGoals() bool { return len(t.goals) > 0 || t.most > 0 }

func (t *table) goalTitles() []string {
	if !t.hasGoals() {
		return nil
	}
	return []string{"must", "aim", "reached"}
}

// goalCells says what is wanted of the ratio to a row, or of the subject's own
// median in its own.
func (t *table) goalCells(r *row) []string {
	if !t.hasGoals() {
		return nil
	}
	if r.name == t.subject && t.most > 0 {
		return []string{"≤ " + figure(t.most), "", t.reached(r)}
	}
	if g, ok := t.goals[r.name]; ok {
		return []string{figure(g.must), figure(g.aim), t.reached(r)}
	}
	return []string{"", "", ""}
}

// reached says which goal of a row is reached; empty without one.
func (t *table) reached(r *row) string {
	if r.name == t.subject && t.most > 0 {
		return goal{must: -t.most, aim: math.Inf(1)}.reached(-median(r.values))
	}
	if g, ok := t.goals[r.name]; ok {
		return g.reached(t.ratio(t.row(t.subject), r))
	}
	return ""
}

// writeLine leaves the columns of CPU out where nothing was measured.
func (t *table) writeLine(w io.Writer, cells []string) {
	const cpu, server = 4, 5
	if !slices.ContainsFunc(t.rows, func(r *row) bool { return len(r.server) > 0 }) {
		cells = slices.Delete(cells, server, server+1)
	}
	if !slices.ContainsFunc(t.rows, func(r *row) bool { return len(r.cpu) > 0 }) {
		cells = slices.Delete(cells, cpu, cpu+1)
	}
	fmt.Fprintln(w, strings.Join(cells, "\t")+"\t")
}

func span(values []float64) (low, high float64) {
	low, high = math.NaN(), math.NaN()
	for i, v := range values {
		if i == 0 || v < low {
			low = v
		}
		if i == 0 || v > high {
			high = v
		}
	}
	return low, high
}

// figure prints two or three digits of a number, or a dash for none.
func figure(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case math.Abs(v) >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case math.Abs(v) >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case math.Abs(v) >= 0.1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
}

// MarshalJSON writes the figures of every round and what is derived from them.
func (t *table) MarshalJSON() ([]byte, error) {
	type jsonRow struct {
		Name          string    `json:"name"`
		Median        *float64  `json:"median"`
		Rounds        []float64 `json:"rounds"`
		CPUMicros     *float64  `json:"cpu_us_each,omitempty"`
		ServerMicros  *float64  `json:"server_cpu_us_each,omitempty"`
		ToReference   *float64  `json:"ratio_to_reference,omitempty"`
		SubjectToThis *float64  `json:"ratio_of_subject_to_this,omitempty"`
		Must          float64   `json:"must,omitempty"`
		Aim           float64   `json:"aim,omitempty"`
		Reached       string    `json:"reached,omitempty"`
	}
	rows := make([]jsonRow, len(t.rows))
	for i, r := range t.rows {
		rows[i] = jsonRow{
			Name: r.name, Median: number(median(r.values)), Rounds: r.values, CPUMicros: number(median(r.cpu)), ServerMicros: number(median(r.server)),
			ToReference: number(t.ratio(r, t.row(t.reference))), SubjectToThis: number(t.ratio(t.row(t.subject), r)),
			Must: t.goals[r.name].must, Aim: t.goals[r.name].aim, Reached: t.reached(r),
		}
	}
	return json.Marshal(struct {
		Title     string    `json:"title"`
		Unit      string    `json:"unit"`
		Less      bool      `json:"less_is_better,omitempty"`
		Reference string    `json:"reference"`
		Subject   string    `json:"subject"`
		Most      float64   `json:"subject_at_most,omitempty"`
		Rows      []jsonRow `json:"rows"`
	}{t.title, t.unit, t.less, t.reference, t.subject, t.most, rows})
}

// number is nil for what JSON cannot write.
func number(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
