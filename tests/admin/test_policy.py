"""Tests of `imgsvc-admin policy`."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.admin.command import imgsvc_admin
from imgsvc.identity.actions import ACTIONS, DEFAULT_RULES


class PolicyCommandTests(SynchronousTestCase):
    """The rules in force, and their decisions."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        (self.folder / "imgsvc.toml").write_text('[policy]\nfile = "policy.yaml"\n')
        self.write("delete_image: role:chief\nchiefs: role:chief\n")

    def write(self, text: str) -> None:
        (self.folder / "policy.yaml").write_text(text)

    def run_command(self, *arguments: str) -> Result:
        options = ("--config", str(self.folder / "imgsvc.toml"), "--data", str(self.folder), "policy")
        return CliRunner().invoke(imgsvc_admin, [*options, *arguments])

    def check(self, *arguments: str) -> list[str]:
        """The lines of `policy check`."""
        return self.run_command("check", *arguments).output.splitlines()

    def test_list(self) -> None:
        """Every rule is listed, and whether it is in the file."""
        rows = [line.split("\t") for line in self.run_command("list").stdout.splitlines()]
        rules = {name: (origin, text) for name, origin, text in rows}
        self.assertEqual(set(rules), {*DEFAULT_RULES, "chiefs"})
        self.assertEqual(rules["delete_image"], ("file", "role:chief"))
        self.assertEqual(rules["modify_image"], ("default", DEFAULT_RULES["modify_image"]))
        self.assertEqual(rules["default"], ("default", "@"))

    def test_list_warnings(self) -> None:
        """Rules without effect are reported beside the list."""
        self.write("delete_imagse: '!'\nget_task: ''\n")
        listed = self.run_command("list")
        path = (self.folder / "policy.yaml").absolute()
        self.assertEqual(
            (listed.exit_code, listed.stderr.splitlines()),
            (
                0,
                [
                    f"policy.file {path}: nothing uses get_task any more",
                    f"policy.file {path}: no action and no other rule uses delete_imagse",
                ],
            ),
        )

    def test_check(self) -> None:
        """What a caller may do, and which rule or bound decides."""
        mine = ("--project", "p", "--owner", "p", "--visibility", "private")
        self.assertEqual(self.check("--role", "chief", *mine, "delete_image"), ["delete_image\tyes\tfile: role:chief"])
        self.assertEqual(self.check("--role", "member", *mine, "delete_image"), ["delete_image\tno\tfile: role:chief"])
        rule = DEFAULT_RULES["get_image"]
        self.assertEqual(self.check("--role", "reader", *mine, "get_image"), [f"get_image\tyes\tdefault: {rule}"])
        theirs = ("--project", "p", "--owner", "q", "--role", "chief")
        self.assertEqual(
            self.check(*theirs, "--visibility", "private", "delete_image"),
            ["delete_image\tno\tthe caller does not see the image"],
        )
        self.assertEqual(
            self.check(*theirs, "--visibility", "public", "delete_image"),
            ["delete_image\tno\tthe image is not the caller's, whatever the rule says"],
        )

    def test_members_and_admins(self) -> None:
        """Projects that an image is shared with can be given, and roles in any case. An administrator may do more."""
        shared = ("--owner", "q", "--visibility", "shared", "--member", "p")
        self.assertIn("\tyes\t", self.check("--role", "Member", "--project", "p", *shared, "download_image")[0])
        self.assertIn("\tno\t", self.check("--role", "member", "--project", "x", *shared, "download_image")[0])
        self.assertIn("\tyes\t", self.check("--role", "admin", *shared, "modify_image")[0])
        self.write("context_is_admin: role:root\n")
        self.assertIn("\tyes\t", self.check("--role", "ROOT", *shared, "modify_image")[0])
        self.assertIn("\tno\t", self.check("--role", "admin", *shared, "modify_image")[0])

    def test_status(self) -> None:
        """The status tells a refusal of a named action too."""
        self.assertEqual(self.run_command("check", "--role", "guest", "get_images").exit_code, 1)
        self.assertEqual(
            self.run_command("check", "--role", "reader", "--project", "p", "get_images", "get_image").exit_code, 0
        )
        self.assertEqual(self.run_command("check", "--all").exit_code, 0)

    def test_all(self) -> None:
        """Every action can be checked."""
        self.assertEqual([line.split("\t")[0] for line in self.check("--all")], list(ACTIONS))

    def test_wrong(self) -> None:
        """A wrong argument is reported in one line."""
        for arguments, message in (
            (("fly",), "Error: There is no action 'fly'; `imgsvc-admin policy list` shows all.\n"),
            (("--property", "a", "get_image"), "Error: 'a' is not of the form KEY=VALUE.\n"),
        ):
            result = self.run_command("check", *arguments)
            self.assertEqual((result.exit_code, result.output), (1, message))
        self.assertEqual(self.run_command("check").exit_code, 2)
        self.write("get_image: nonsense\n")
        result = self.run_command("list")
        self.assertEqual((result.exit_code, result.output.count("\n")), (1, 1))
        self.assertIn("rule 'get_image': 'nonsense' is not a rule", result.output)
