"""What each step costs against a plain version of it: `make bench`. Nothing here is asserted; tests check only that both agree."""
