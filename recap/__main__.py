"""`python -m recap`, which is also how `torchrun -m recap train …` starts one process of several."""

from recap.cli import main

if __name__ == "__main__":
    main(prog_name="recap")
