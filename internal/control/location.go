package control

import (
	"regexp"
	"strings"

	"github.com/palate-dev/palate/internal/api"
)

// location is the form of what jobs read: an object, or a folder that ends in a slash. Whether it is there, and readable, is the job's to find out.
var location = regexp.MustCompile(`^s3://[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]/(?s:.*)$`)

// checkSource checks where a job reads; extension "" admits an object of any name.
func checkSource(source *api.DataSource, extension string) error {
	switch {
	case source == nil || !location.MatchString(source.DataLocation):
	case strings.HasSuffix(source.DataLocation, "/"):
		return nil
	case strings.HasSuffix(strings.ToLower(source.DataLocation), extension):
		return nil
	}
	return api.Errorf(api.InvalidInput, "Invalid Data location.")
}

// checkDestination checks where a job writes: always a folder, with or without the slash at its end.
func checkDestination(destination *api.S3DataConfig) error {
	if destination == nil || !location.MatchString(strings.TrimSuffix(destination.Path, "/")+"/") {
		return api.Errorf(api.InvalidInput, "Invalid S3 output path")
	}
	return nil
}
