package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// backup is one run of the command.
type backup struct {
	console    *console
	connection connection
	format     format
}

func newBackupCommand(c *console) *cobra.Command {
	b := &backup{console: c}
	cmd := &cobra.Command{
		Use:   "backup [ID]",
		Short: "Make the server copy its log while it runs",
		Long: `Make the server copy its log, while it runs, into a folder on its own machine: the
folder ID inside its backup_dir. The copy is durable when the command ends, and holds
every event that was answered before the command began. ID is of a-z, 0-9, ".", "_"
and "-"; without one the server's clock names the backup.

To restore, start a server with that folder, or a copy of it, as its data folder.
Consumers go on with their cursors. A cursor from beyond the backup is refused, not
silently continued: such a consumer resumes after an event that it knows, or from
the earliest.

Nothing removes old backups. Most of a backup's files are hard links to the log's: a
backup takes little room at first, and more as the log changes. It protects against
a broken log, not against a broken disk: for that, copy it elsewhere.`,
		Example: `  # Now, with a name made of the time.
  wabastream backup

  # With a name of your own, of a server elsewhere.
  wabastream backup before-upgrade --addr events.example.com:443

  # Every night, and a copy on another machine.
  rsync -a "$(wabastream backup --template '{{.Path}}')" elsewhere:/backups/

  # Restore, here or there.
  wabastreamd --data-dir /backups/before-upgrade`,
		Args:              atMostOneID,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			id := ""
			if len(args) == 1 {
				id = args[0]
			}
			return b.run(cmd.Context(), id)
		},
	}
	b.format.addFlags(cmd)
	b.connection.addFlags(cmd, b.console)
	return cmd
}

// atMostOneID refuses an empty id too: what a script fails to fill in must not
// become another name.
func atMostOneID(_ *cobra.Command, args []string) error {
	switch {
	case len(args) > 1:
		return usagef("backup takes one id, but has also %q", args[1])
	case len(args) == 1 && args[0] == "":
		return usagef("the id is empty: give it a value or leave it out")
	default:
		return nil
	}
}

func (b *backup) run(ctx context.Context, id string) error {
	if err := b.format.settle(b.console, backupFields{}); err != nil {
		return err
	}
	c, err := b.connection.dial(b.console)
	if err != nil {
		return err
	}
	defer c.Close()
	made, err := c.CreateBackup(ctx, id)
	if err != nil {
		return b.connection.explain("no backup", err)
	}
	return b.format.write(b.console.out, answer{
		table:   func() string { return backupTable(made) },
		message: made,
		fields:  func() any { return newBackupFields(made) },
	})
}

func backupTable(made *wabastreamv1.Backup) string {
	return fmt.Sprintf(`Backup %s: %s events up to cursor %s
  %s in %s
  Restore: wabastreamd --data-dir %[5]s
`, clean(made.GetBackupId()), grouped(made.GetEventCount()), clean(made.GetHeadCursor()),
		binaryBytes(made.GetSizeBytes()), clean(made.GetPath()))
}

// grouped writes a number with a comma between thousands.
func grouped(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// binaryBytes writes a size with three digits and a unit.
func binaryBytes(n uint64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	value := float64(n) / 1024
	unit := 0
	for value >= 999.5 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return fmt.Sprintf("%.3g %s", value, units[unit])
}
