"""What is asked of the language model: templates that a user can replace, filled with data that cannot leave its quotes."""

from synalign_spark.generation.prompts.attributes import random_attributes as random_attributes
from synalign_spark.generation.prompts.lengths import Length as Length
from synalign_spark.generation.prompts.lengths import length_of as length_of
from synalign_spark.generation.prompts.prompt import MAX_ATTRIBUTE_CHARS as MAX_ATTRIBUTE_CHARS
from synalign_spark.generation.prompts.prompt import Prompt as Prompt
from synalign_spark.generation.prompts.prompt import row_chars as row_chars
from synalign_spark.generation.prompts.prompt import rows_schema as rows_schema
from synalign_spark.generation.prompts.prompt import shorten as shorten
from synalign_spark.generation.prompts.prompter import Prompter as Prompter
