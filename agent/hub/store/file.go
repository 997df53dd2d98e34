package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/pressly/goose/v3"
	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var migrations embed.FS

// countTables leaves out goose's own table, which is made before the first migration.
const countTables = `SELECT count(*) FROM sqlite_schema
	WHERE type = 'table' AND name NOT LIKE 'goose!_%' ESCAPE '!' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'`

// applicationID is written by the first migration ("GHub" in ASCII).
const applicationID = 0x47487562

// lock holds path for this process until the returned function is called, so that
// an old and a new hub that start together do not both run the migrations.
func lock(ctx context.Context, path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // closing returns the lock back
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// prepareFile makes an empty file of the right mode when it is missing, and checks an existing one. SQLite gives its
// -wal and -shm the same mode.
func prepareFile(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("database: cannot make the file: %w", err)
	}
	if err := checkFile(ctx, path); err != nil {
		return explain(path, err)
	}
	// By name: opening and closing the file here would drop SQLite's locks if this
	// process had it open already (sqlite.org/howtocorrupt.html, 2.2).
	if err := os.Chmod(path, fileMode); err != nil {
		return fmt.Errorf("database %q: cannot close it to others: %w", path, err)
	}
	return nil
}

// fileError is a file that the hub must not touch. Its text contains the remedy.
type fileError struct {
	path, problem, advice string
	cause                 error
}

func (e *fileError) Error() string {
	s := fmt.Sprintf("database %q: %s: %s", e.path, e.problem, e.advice)
	if e.cause != nil {
		s += " (" + e.cause.Error() + ")"
	}
	return s
}

func (e *fileError) Unwrap() error { return e.cause }

const (
	restoreAdvice = "stop the hub, keep the file under another name, and put a backup in its place" +
		" (or nothing: people then sign in again, notebooks run on)"
	foreignAdvice = "set another path for the hub's database, or move this file away"
	newerAdvice   = "install that newer version again, or put a backup from before the upgrade in its place"
)

// checkFile reads path without changing it: opening a foreign database the usual
// way would turn it to WAL mode.
func checkFile(ctx context.Context, path string) (err error) {
	db, err := openDB(path, "mode=ro&_pragma=busy_timeout(10000)&_pragma=query_only(1)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var tables, id int64
	if err := db.QueryRowContext(ctx, countTables).Scan(&tables); err != nil {
		return err
	}
	if tables == 0 {
		return nil // made by an earlier start that was cut short
	}
	if err := db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id); err != nil {
		return err
	}
	if id != applicationID {
		return &fileError{path: path, problem: "it belongs to another program", advice: foreignAdvice}
	}
	var verdict string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return &fileError{path: path, problem: "it is damaged", advice: restoreAdvice, cause: errors.New(verdict)}
	}
	return checkVersion(ctx, path, db)
}

// checkVersion refuses a schema that this binary does not know.
func checkVersion(ctx context.Context, path string, db *sql.DB) error {
	p, err := newProvider(db)
	if err != nil {
		return err
	}
	have, known, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > known {
		return &fileError{path: path, problem: fmt.Sprintf("a newer gifford-hub wrote it (schema %d, this one knows "+
			"%d)", have, known), advice: newerAdvice}
	}
	return nil
}

// explain describes SQLite's error for a file that it cannot read.
func explain(path string, err error) error {
	var known *fileError
	if errors.As(err, &known) {
		return err
	}
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff { // the low byte is the primary result code
		case sqlite3.SQLITE_NOTADB:
			return &fileError{path: path, problem: "it is not a database", advice: restoreAdvice, cause: err}
		case sqlite3.SQLITE_CORRUPT:
			return &fileError{path: path, problem: "it is damaged", advice: restoreAdvice, cause: err}
		}
	}
	return fmt.Errorf("database %q: %w", path, err)
}

func newProvider(db *sql.DB) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, dir, goose.WithDisableGlobalRegistry(true))
}

// migrate brings the tables up to date. Each migration is one transaction.
func (s *Store) migrate(ctx context.Context) error {
	p, err := newProvider(s.db)
	if err != nil {
		return err
	}
	done, err := p.Up(ctx)
	if err != nil {
		return err
	}
	for _, m := range done {
		s.log.Info("database brought up to date", "event", "database-migrated", "version", m.Source.Version)
	}
	return nil
}
