"""What files say about their pixels, and how it stays true when there are more of them."""
